#!/usr/bin/env bash
# nth_line.sh <file> <n> <command> [args...]: run the command with the words of the file's n-th line added.
# So an array of jobs can differ in more than a number.  Quotes keep words together; nothing is expanded.
set -euo pipefail
line=$(sed -n "${2}p" "$1")
[ -n "$line" ] || { echo "nth_line.sh: $1 has no line $2" >&2; exit 1; }
mapfile -d '' -t words < <(xargs -r printf '%s\0' <<< "$line")
wait $! || { echo "nth_line.sh: line $2 of $1 opens a quote and does not close it" >&2; exit 1; }
exec "${@:3}" "${words[@]}"
