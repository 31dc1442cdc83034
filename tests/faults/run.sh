#!/usr/bin/env bash
# tests/faults/run.sh kills|disk|inputs [options]: break a mini recipe and see that nothing is lost.
#   kills   [--kills 100] [--again-from first|killed]: kill it at random moments, and run it again each time
#   disk    fill the disk in each stage (as root)
#   inputs  [--trials 36]: remove or cut off what a stage wrote, and run the next ones
# All take --seed N (printed when drawn), --recipe NAME (gsc_v2) and --work DIR (empty; a new temporary folder if not given).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in
    kills | disk | inputs) ;;
    *) sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"; exit 1 ;;
esac
"$here/../../utils/setup.sh" --tests
# shellcheck source=../../path.sh
. "$here/../../path.sh"
exec python3 "$here/$1.py" "${@:2}"
