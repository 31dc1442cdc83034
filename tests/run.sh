#!/usr/bin/env bash
# tests/run.sh [pytest options and paths]: set up on first use, then run the tests.
# Paths count from the top of the checkout; without any, the tests in unit/, faults/, fuzz/ and scale/ run and, when these
# pass, those in recipes/ and cluster/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
utils/setup.sh --tests
. ./path.sh

check() { python3 -m pytest "$@"; }

for word in "$@"; do
    if [ -e "${word%%::*}" ]; then
        check "$@"
        exit
    fi
done
# The unit tests share the CPUs, a file at a time; folders with few and long tests come first, so that none is left alone at
# the end.  A recipe's stages leave some CPUs idle, and tests of clusters mostly wait: three of these run at once, in their
# order: in recipes.csv, first the recipe that makes the mini Whisper soonest, as others wait for it, then the longest; the
# schedulers come last.
shared=(--numprocesses "$(nproc)" --maxprocesses 8 --dist loadfile --no-loadscope-reorder)
together=(--numprocesses 3 --dist loadgroup --no-loadscope-reorder)
none=5 # pytest's answer when no test was chosen, as -k and -m can do
check tests/fuzz tests/scale tests/faults tests/unit "${shared[@]}" "$@" && units=0 || units=$?
[ "$units" -eq 0 ] || [ "$units" -eq $none ] || exit "$units"
check tests/recipes tests/cluster "${together[@]}" "$@" && code=0 || code=$?
[ "$code" -eq $none ] || exit "$code"
exit "$units"
