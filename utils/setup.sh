#!/usr/bin/env bash
# setup.sh [--tests | --benchmarks]: make .venv and install what requirements.txt lists (--tests: and
# tests/requirements.txt; --benchmarks: and tests/benchmarks/requirements.txt too).
# Called at the start of everything; when nothing has changed it returns at once.
# A .venv that is a link to another environment is used as it is.
# PYTHON=/path/to/python3.12 chooses the Python that .venv is made with; by default it is the newest one on PATH.
set -euo pipefail

pythons=(3.14 3.13 3.12 3.11) # supported, the preferred one first; .ci/resolve.py checks the lists for each
pip_version=25.3 # installed first, so that the age of the user's own pip does not matter
need_gb=8        # for a new .venv, where torch comes with CUDA: 6, and 2 more while pip unpacks it
unfinished=.cache/setup.unfinished # there while .venv changes: a killed set-up leaves it behind
log=.cache/setup.log

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
case ${1:-} in
    '') lists=(requirements.txt) ;;
    --tests) lists=(requirements.txt tests/requirements.txt) ;;
    --benchmarks) lists=(requirements.txt tests/requirements.txt tests/benchmarks/requirements.txt) ;;
    *) echo "setup.sh: unknown option $1; there are --tests and --benchmarks" >&2; exit 1 ;;
esac

fail() { echo "setup.sh: $1" >&2; exit 1; }

# What a list's stamp must hold: it changes with the list, the Python, and the place of the checkout.
stamp_for() {
    echo "$(cksum < "$1") $(grep -s ^version .venv/pyvenv.cfg || true) $top"
}

stamp_of() { echo ".venv/installed.${1//\//-}"; }

is_installed() {
    [ -x .venv/bin/python ] && [ ! -e $unfinished ] && [ -e "$(stamp_of "$1")" ] &&
        [ "$(cat "$(stamp_of "$1")")" = "$(stamp_for "$1")" ]
}

is_complete() {
    local list
    [ -z "${PYTHON:-}" ] || [ "$(cat .venv/made-with 2> /dev/null)" = "$PYTHON"$'\n'"$top" ] || return 1
    for list in "${lists[@]}"; do is_installed "$list" || return 1; done
}

is_supported() {
    local version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null) || return 1
    [[ -n $version && " ${pythons[*]} " == *" $version "* ]]
}

# A .venv whose Python still runs is kept, unless another Python is asked for or the checkout was moved.
is_usable() {
    local made
    made=$(cat .venv/made-with 2> /dev/null) || made=${PYTHON:-}$'\n'$top
    [ ! -e $unfinished ] && [ "${made#*$'\n'}" = "$top" ] && is_supported .venv/bin/python &&
        { [ -z "${PYTHON:-}" ] || [ "$made" = "$PYTHON"$'\n'"$top" ]; }
}

find_python() {
    local candidate candidates=("${pythons[@]/#/python}" python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if is_supported "$candidate"; then
            python=$candidate
            return
        fi
    done
    fail "Python ${pythons[-1]} to ${pythons[0]} is needed, but ${candidates[-1]} is $("${candidates[-1]}" --version 2>&1 |
        tail -n 1); install one, or name it: PYTHON=/path/to/python${pythons[0]} ./run.sh"
}

# Everything that can be known to fail is said before anything is downloaded.
check_machine() {
    local free
    "$python" -c 'import venv, ensurepip' 2> /dev/null ||
        fail "$python lacks the module venv; install it (Debian: apt-get install ${python##*/}-venv)"
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1000000) }')
    [ "$free" -ge "$1" ] || fail "$1 GB of free disk are needed at $top, and there are $free; free some"
}

make_venv() {
    echo "setup.sh: making .venv with $("$python" --version)" >&2
    touch $unfinished
    "$python" -m venv --clear .venv >> $log 2>&1 || fail "$python cannot make .venv; see $top/$log"
    printf '%s\n%s\n' "$python" "$top" > .venv/made-with
}

install() {
    set -- --no-compile "$@"
    .venv/bin/python -m pip install "$@" >> $log 2>&1 < /dev/null || {
        rm $unfinished # pip itself has put back what it could not finish
        tail -n 15 $log >&2
        fail "pip install $* failed; the whole log is $top/$log, and the same command goes on from here"
    }
}

# Three of the packages that ESPnet imports are not usable as they come.  torchaudio's compiled part is made for CUDA
# and cannot be loaded beside a torch for CPUs; without that part all that ESPnet uses of torchaudio works.
# espnet-g2p-en asks the network for two NLTK files at every import until it finds them; empty zip files will do.
# And editdistance has no wheels for Python 3.13 and later; ESPnet calls one function of it, which rapidfuzz has too.
mend_espnet() {
    local folder name
    for folder in .venv/lib/python3.*/site-packages; do
        echo "from rapidfuzz.distance.Levenshtein import distance as eval" > "$folder/editdistance.py"
    done
    if ! .venv/bin/python -c 'import torchaudio' >> $log 2>&1; then
        rm -f .venv/lib/python3.*/site-packages/torchaudio/lib/_torchaudio.abi3.so
        .venv/bin/python -c 'import torchaudio' >> $log 2>&1 || {
            rm $unfinished
            fail "torchaudio cannot be imported; see $top/$log"
        }
    fi
    mkdir -p .venv/nltk_data/taggers .venv/nltk_data/corpora
    for name in taggers/averaged_perceptron_tagger_eng corpora/cmudict; do
        printf 'PK\005\006%b' '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' > ".venv/nltk_data/$name.zip"
    done
}

install_list() {
    local list=$1 line
    local -a alone
    is_installed "$list" && return
    echo "setup.sh: installing what $list lists (some minutes at the first time; log in $log)" >&2
    touch $unfinished
    install "pip==$pip_version"
    line=$(grep -o '^torch==[^ ]*' "$list" || true)
    [ -z "$line" ] || install "$line"
    install -r "$list"
    mapfile -t alone < <(sed -n 's/^# no-deps: *\([^ ]*\).*/\1/p' "$list")
    [ ${#alone[@]} -eq 0 ] || install --no-deps "${alone[@]}"
    [[ " ${alone[*]:-}" != *" espnet=="* ]] || mend_espnet
    # pip would compile on one CPU.  Files of other Pythons among them may fail.
    .venv/bin/python -m compileall -q -j 0 .venv/lib >> $log 2>&1 || true
    stamp_for "$list" > "$(stamp_of "$list")"
    rm $unfinished
}

# A link is somebody's own environment, shared among checkouts, and theirs to keep up to date.
[ ! -L .venv ] || [ ! -x .venv/bin/python ] || exit 0
is_complete && exit 0
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0
mkdir -p .cache
if command -v flock > /dev/null; then
    exec 9> .cache/setup.lock
    flock -n 9 || { echo "setup.sh: waiting for another set-up of $top" >&2; flock 9; }
    is_complete && exit 0
fi
: > $log
if is_usable; then
    python=.venv/bin/python
    check_machine 1
else
    find_python
    check_machine $need_gb
    make_venv
fi
for list in "${lists[@]}"; do install_list "$list"; done
echo "setup.sh: .venv is ready" >&2
