#!/usr/bin/env bash
# ./run.sh [NAME] [options]: set up on first use, then run a recipe.  The same as cd egs/NAME; ./run.sh [options]
set -euo pipefail
export SALIENCE_CALLER=${SALIENCE_CALLER:-$PWD} # relative paths among the options count from here
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { echo "run.sh: $1" >&2; exit 1; }

recipes() { # the names of all recipes
    local script
    for script in egs/*/run.sh; do [ ! -e "$script" ] || basename "$(dirname "$script")"; done | xargs
}

egs=
if [[ ${1:--} != -* ]]; then # a recipe's name, as if behind --egs
    egs=$1
    shift
fi
help=false
on_mini=true # until an option says which recipe or which corpus
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --egs)
            egs=${2:-}
            [ -n "$egs" ] || fail "option --egs needs a recipe's name: $(recipes)"
            shift
            ;;
        --egs=*)
            egs=${1#*=}
            [ -n "$egs" ] || fail "option --egs needs a recipe's name: $(recipes)"
            ;;
        -h | --help)
            help=true
            options+=(--help)
            ;;
        --*)
            case $1 in
                --config* | --mini* | --*[-_]root | --*[-_]root=* | --*[-_]archive | --*[-_]archive=*) on_mini=false ;;
            esac
            options+=("$1")
            # The next word is its value, unless it looks like an option: then the recipe decides.
            if [[ $1 != *=* ]] && [ $# -ge 2 ] && [[ ! $2 =~ ^--[A-Za-z][A-Za-z0-9_=-]*$ ]]; then
                options+=("$2")
                shift
            fi
            ;;
        *) fail "unexpected word '$1'; options are written --name value (--help lists them)" ;;
    esac
    shift
done

if [ -z "$egs" ] && $help; then
    cat << HELP
usage: ./run.sh [NAME] [options]

Sets up .venv on first use, then runs the recipe egs/NAME/run.sh with the options.  Without any of them, runs
librispeech_edacc on a few minutes of synthetic speech.

recipes: $(recipes)

options of every recipe; --help with NAME lists its own:
$(sed -n 's/^\([a-z_]*\)=[^#]*# *\(.*\)/\1 \2/p' local/options.sh |
        awk '{ gsub("_", "-", $1); printf "  --%-16s", $1; sub("^[^ ]* ", ""); print }')
stages: 0 corpus, 1 data, 2 features, 3 the model that is explained, 4 saliency, 5 masking, 6 recognisers, 7 decode,
        8 score, 9 report
HELP
    exit 0
fi

if [ -z "$egs" ]; then
    egs=librispeech_edacc
    if $on_mini; then options=(--mini true ${options[@]+"${options[@]}"}); fi
fi
[[ " $(recipes) " == *" $egs "* ]] || fail "there is no recipe '$egs'; there are: $(recipes)"

$help || utils/setup.sh
cd "egs/$egs"
exec ./run.sh ${options[@]+"${options[@]}"}
