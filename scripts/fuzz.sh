#!/usr/bin/env bash
# Runs the fuzz targets, each for a while, on the stable toolchain.
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]
#
# libFuzzer comes with the `libfuzzer-sys` crate. What it learns from is compiled in by two flags of
# the stable compiler, into our crate and the targets only (scripts/fuzz-rustc.sh), so that everything
# else is taken as it was built for the tests. AddressSanitizer would take a nightly compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
target=${CARGO_TARGET_DIR:-$PWD/target}
mapfile -t all < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^peer')

main() {
    local names=("${@:2}")
    if ((${#names[@]} == 0)); then names=("${all[@]}"); fi
    RUSTC_WRAPPER=$PWD/scripts/fuzz-rustc.sh cargo build --release --locked \
        --manifest-path fuzz/Cargo.toml --target-dir "$target" "${names[@]/#/--bin=}"
    mkdir -p "$target/fuzz"
    printf '%s\n' "${names[@]}" |
        xargs -P "${JOBS:-2}" -I NAME "$0" --one NAME "$seconds" "$target"
    echo "fuzz: ${#names[@]} targets, $seconds s each, nothing found"
}

# What is found new is kept beside the build, what breaks something is shown and stays there.
one() {
    local name=$1 seconds=$2 target=$3
    local log=$target/fuzz/$name.log
    mkdir -p "$target/fuzz/$name"
    if "$target/release/$name" "$target/fuzz/$name" "fuzz/corpus/$name" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
        -artifact_prefix="$target/fuzz/$name-" -verbosity=1 -print_final_stats=1 >"$log" 2>&1; then
        echo "fuzz: $name $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs"
    else
        tail -n 40 "$log"
        echo "fuzz: $name FAILED; the input stands in $target/fuzz/$name-*"
        return 1
    fi
}

if [[ ${1:-} == --one ]]; then
    one "$2" "$3" "$4"
else
    main "$@"
fi
