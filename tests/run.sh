#!/usr/bin/env bash
# tests/run.sh [pytest options and paths]: set up on first use, then run the tests.
# Paths count from the top of the checkout; without any, the tests in unit/ run and, when these pass, those in recipes/.
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
# The unit tests share the processors, a file at a time.  A recipe keeps all of them busy by itself.
check tests/unit --numprocesses "$(nproc)" --maxprocesses 8 --dist loadfile "$@" && units=0 || units=$?
none=5 # pytest's answer when no test was chosen, as -k and -m can do
[ "$units" -eq 0 ] || [ "$units" -eq $none ] || exit "$units"
check tests/recipes "$@" && recipes=0 || recipes=$?
[ "$recipes" -ne $none ] || exit "$units"
exit "$recipes"
