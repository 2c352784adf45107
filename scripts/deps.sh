#!/usr/bin/env bash
# Installs what this project needs and the machine lacks (Debian or Ubuntu), saying so first.
# usage: scripts/deps.sh build | test | lint      (each includes the ones before it)
#        scripts/deps.sh netbench                 (build, and what scripts/netbench/ runs)
set -euo pipefail

# What a command of this name comes from: "command package". "-" has no command to look for.
build_packages=("g++ g++" "make make" "cmake cmake" "nasm nasm" "pkg-config pkg-config"
    "curl curl" "- ca-certificates" "- libclang-dev" "- libasound2-dev")
test_packages=("chromium chromium" "chromedriver chromium-driver" "ffmpeg ffmpeg"
    "pulseaudio pulseaudio" "pactl pulseaudio-utils" "Xvfb xvfb" "turnserver coturn" "openssl openssl" "- libxkbcommon-x11-0"
    "dbus-daemon dbus-daemon" "pipewire pipewire" "wireplumber wireplumber"
    "gst-launch-1.0 gstreamer1.0-tools" "- gstreamer1.0-plugins-base" "- gstreamer1.0-pipewire"
    "- libxcursor1" "- libxi6" "- libx11-xcb1")
lint_packages=("shellcheck shellcheck" "systemd-analyze systemd" "python3 python3" "- python3-pip")
netbench_packages=("python3 python3" "ip iproute2" "Xvfb xvfb" "ffmpeg ffmpeg" "chromium chromium")

main() {
    case "${1:-}" in
        build) install_packages "${build_packages[@]}" ;;
        test) install_packages "${build_packages[@]}" "${test_packages[@]}" ;;
        lint) install_packages "${build_packages[@]}" "${test_packages[@]}" "${lint_packages[@]}" ;;
        netbench) install_packages "${build_packages[@]}" "${netbench_packages[@]}" ;;
        *) fail "usage: scripts/deps.sh build | test | lint | netbench" ;;
    esac
    install_rust "${1:-}"
}

install_packages() {
    local missing=() entry
    for entry in "$@"; do
        is_there "${entry% *}" "${entry#* }" || missing+=("${entry#* }")
    done
    if ((${#missing[@]} == 0)); then return; fi
    command -v apt-get >/dev/null ||
        fail "these are missing, and without apt-get you must install them yourself: ${missing[*]}"
    say "installing with apt-get: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

is_there() {
    local command=$1 package=$2
    if [[ $command != - ]]; then
        command -v "$command" >/dev/null
    else
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]]
    fi
}

install_rust() {
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
    if [[ -z $have ]] || ! at_least "$have" "$wanted"; then
        say "Rust ${have:-(none)} is here, $wanted or newer is needed"
        if command -v rustup >/dev/null; then
            say "installing the stable toolchain with rustup"
            rustup toolchain install stable --profile minimal
            rustup default stable
        else
            say "installing rustup and the stable toolchain from https://static.rust-lang.org"
            curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh |
                sh -s -- -y --profile minimal
        fi
    fi
    if [[ $1 == lint ]] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        say "installing rustfmt and clippy with rustup"
        rustup component add rustfmt clippy
    fi
}

at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

say() { echo "deps: $*"; }

fail() {
    echo "deps: $*" >&2
    exit 1
}

cd "$(dirname "$0")/.."
main "$@"
