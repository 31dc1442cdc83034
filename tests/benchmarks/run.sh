#!/usr/bin/env bash
# tests/benchmarks/run.sh [names]: set up on first use, run every benchmark in a process of its own, print one table
# and keep it in README.md.  With names (audio, maps, logmel, finetuning, decoding, ctranslate2, commands, hybrid, memory,
# scoring) only those run, and README.md stays.  OMP_NUM_THREADS chooses the threads of both sides (default: all processors).
# SALIENCE_TEST_DATA names the folder with LibriSpeech/; without one, noise stands in.
set -euo pipefail
if [ "${1:-}" = --help ]; then
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
    exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
utils/setup.sh --benchmarks
. ./path.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
exec python3 tests/benchmarks/print_table.py "$@"
