#!/usr/bin/env bash
# The tool of this file's name; --help tells its options.
. "$(dirname -- "$0")/../path.sh"
exec python3 "$SALIENCE_ROOT/utils/data_dir.py" "$0" "$@"
