#!/usr/bin/env bash
# tests/run.sh [pytest options and paths]: set up on first use, then run the tests.
# Paths count from the top of the checkout; without any, all tests in unit/ and recipes/ run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
utils/setup.sh --tests
. ./path.sh

paths=(tests/unit)
[ ! -d tests/recipes ] || paths+=(tests/recipes)
for word in "$@"; do
    if [ -e "${word%%::*}" ]; then paths=(); fi
done
exec python3 -m pytest -c tests/pytest.ini ${paths[@]+"${paths[@]}"} "$@"
