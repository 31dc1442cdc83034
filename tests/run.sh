#!/usr/bin/env bash
# tests/run.sh [pytest options and paths]: set up on first use, then run the tests.
# Paths count from the top of the checkout; without any, the tests in unit/, fuzz/ and scale/ run and, when these pass, those in recipes/
# and then those in cluster/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
utils/setup.sh --tests
. ./path.sh

check() { python3 -m pytest -c tests/pytest.ini "$@"; }

for word in "$@"; do
    if [ -e "${word%%::*}" ]; then
        check "$@"
        exit
    fi
done
# The unit tests share the processors, a file at a time.  A recipe's stages leave a part of them idle: some recipes at once.
# Tests of clusters mostly wait: both schedulers at once.  In the order in which they stand: recipes.csv puts apart those
# that would wait for the same mini Whisper.
shared=(--numprocesses "$(nproc)" --maxprocesses)
check tests/unit tests/faults tests/fuzz tests/scale "${shared[@]}" 8 --dist loadfile "$@" && units=0 || units=$?
none=5 # pytest's answer when no test was chosen, as -k and -m can do
[ "$units" -eq 0 ] || [ "$units" -eq $none ] || exit "$units"
for folder in tests/recipes tests/cluster; do
    check "$folder" "${shared[@]}" 3 --dist loadgroup --no-loadscope-reorder "$@" && code=0 || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq $none ] || exit "$code"
    [ "$code" -eq $none ] || units=0
done
exit "$units"
