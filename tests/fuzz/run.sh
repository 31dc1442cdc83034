#!/usr/bin/env bash
# tests/fuzz/run.sh [--inputs 1000000] [--seed 1] [--targets NAME ...] [--out FOLDER]: set up on first use, then give
# every reader of foreign bytes its share of the inputs; exit 1 if one did anything but read or refuse.
# A finding's input lies in FOLDER/findings (.cache/fuzz/findings).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
utils/setup.sh --tests
. ./path.sh
packages=$PWD/.cache/fuzz/packages
[ -d "$packages/atheris" ] ||
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$packages" -r tests/fuzz/requirements.txt
export PYTHONPATH=$packages:$PWD/tests/fuzz:$PYTHONPATH OMP_NUM_THREADS=1 TQDM_DISABLE=1 HF_HUB_OFFLINE=1
exec python3 tests/fuzz/fuzz.py "$@"
