# `make help` says what there is. CARGO_TARGET_DIR is respected.

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
PREFIX ?= /usr/local
target := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help deps demo test lint fuzz bench measure netbench install uninstall

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

deps: ## Install what is missing to build and test (Debian, Ubuntu)
	@scripts/deps.sh test

demo: ## Two peers in one process call each other; ends in a report
	@scripts/deps.sh build
	cargo run --release --locked -- loopback

test: deps ## Run all tests, headless Chromium included
	cargo test --release --locked

lint: ## Run every check that is not a test
	@scripts/deps.sh lint
	scripts/lint.sh

fuzz: ## Feed wild bytes to every parser (SECONDS=60 each, TARGETS="names media")
	@scripts/deps.sh build
	scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

bench: ## Measure the codecs and the pipeline
	@scripts/deps.sh build
	cargo bench --locked

measure: ## Measure what calls cost, and how fast recordings are sought through (MEASURE=one of them)
	@scripts/deps.sh test
	cargo test --release --locked --test main -- --ignored --nocapture --test-threads 1 \
		$(or $(MEASURE),measure)

netbench: ## Measure calls over bad networks, Chromium beside them (root; scripts/netbench/README.md)
	@scripts/deps.sh netbench
	cargo build --release --locked --bin peer
	scripts/netbench/netbench.py --peer $(target)/release/peer --out $(target)/netbench \
		$(if $(SCENARIOS),--scenarios "$(SCENARIOS)") $(if $(ENDS),--ends "$(ENDS)") \
		$(if $(RUNS),--runs $(RUNS)) $(if $(ADD),--add) $(if $(DOCUMENT),--document $(DOCUMENT))

install: ## Install the program, manual pages, completions and the service to $(PREFIX)
	@scripts/deps.sh build
	cargo build --release --locked --bin peer
	install -s -D -m 755 $(target)/release/peer $(DESTDIR)$(PREFIX)/bin/peer
	scripts/install-documents.sh $(target)/release/peer $(DESTDIR)$(PREFIX)/share
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/bin|$(PREFIX)/bin|' dist/peer-serve.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/peer-serve.service

uninstall: ## Take away what install has put there
	rm -f $(DESTDIR)$(PREFIX)/bin/peer
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/peer-serve.service
	scripts/install-documents.sh --remove $(DESTDIR)$(PREFIX)/share
