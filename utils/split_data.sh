#!/usr/bin/env bash
# The tool of this file's name; --help tells its options.  Another recipe's utils/ may hold a link to it.
tool=$(readlink -f -- "$0")
. "${tool%/*}/../path.sh"
exec python3 "${tool%/*}/data_dir.py" "$0" "$@"
