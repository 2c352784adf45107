#!/usr/bin/env bash
# Between cargo and rustc (RUSTC_WRAPPER): our crate and the fuzz targets are compiled so that
# libFuzzer sees which branches they take, everything else as ever. See scripts/fuzz.sh.
set -euo pipefail
case " $* " in
    *" --crate-name peer "* | *" fuzz_targets/"*)
        exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
    *) exec "$@" ;;
esac
