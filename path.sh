# shellcheck shell=bash
# Sourced by every shell script, here and in jobs on a cluster: one environment for all programs.

SALIENCE_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" > /dev/null && pwd)
export SALIENCE_ROOT

for __folder in local utils .venv/bin; do
    case ":$PATH:" in
        *":$SALIENCE_ROOT/$__folder:"*) ;;
        *) PATH=$SALIENCE_ROOT/$__folder:$PATH ;;
    esac
done
unset __folder
export PATH

case ":${PYTHONPATH:-}:" in
    *":$SALIENCE_ROOT/local:"*) ;;
    *) export PYTHONPATH="$SALIENCE_ROOT/local${PYTHONPATH:+:$PYTHONPATH}" ;;
esac

# Sorting by bytes, as all tables are sorted; Python reads and writes UTF-8 nevertheless.
export LC_ALL=C PYTHONUTF8=1
# The order of sets of strings is then the same in every run.
export PYTHONHASHSEED=0
# Freed memory stays with the process: a training on CPU otherwise spends a fifth of its time asking for it again.
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-4294967296} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8589934592}
# Waiting threads yield their CPU: several jobs share a machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
