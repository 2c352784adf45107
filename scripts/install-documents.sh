#!/usr/bin/env bash
# Installs what peer says about itself: manual pages, and completions for bash, zsh and fish.
# usage: scripts/install-documents.sh PEER SHARE      (such as target/release/peer /usr/local/share)
#        scripts/install-documents.sh --remove SHARE  takes them away again
set -euo pipefail

peer=$1
share=$2

put() {
    local target=$1
    shift
    if [ "$peer" = --remove ]; then
        rm -f "$target"
        return
    fi
    mkdir -p "$(dirname "$target")"
    "$peer" "$@" >"$target"
    chmod 644 "$target"
}

put "$share/man/man1/peer.1" man
for command in serve login call loopback devices keys doctor config completions man; do
    put "$share/man/man1/peer-$command.1" man "$command"
done
put "$share/bash-completion/completions/peer" completions bash
put "$share/zsh/site-functions/_peer" completions zsh
put "$share/fish/vendor_completions.d/peer.fish" completions fish
