#!/usr/bin/env bash
# nth_line.sh <file> <n> <command> [args...]: run the command with the words of the file's n-th line added.
# So an array of jobs can differ in more than a number.
set -euo pipefail
read -r -a words < <(sed -n "${2}p" "$1") || { echo "nth_line.sh: $1 has no line $2" >&2; exit 1; }
exec "${@:3}" "${words[@]}"
