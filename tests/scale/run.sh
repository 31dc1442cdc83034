#!/usr/bin/env bash
# tests/scale/run.sh [--utterances 1000000] [--seed 1] [--folder FOLDER]: seconds and peak memory of validating,
# splitting, merging and scoring a synthetic data directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
utils/setup.sh
. ./path.sh
exec python3 tests/scale/scale.py "$@"
