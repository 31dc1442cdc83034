# shellcheck shell=bash
# Sourced by a script after it has set its defaults: every `--name value` or
# `--name=value` on the command line sets the variable `name`, and is shifted
# away.  Only variables that exist may be set.  The file of every `--config` is
# sourced first, in their order, so the command line wins.  `--help` or `-h`
# prints $help_message.  The first word that is no option ends it; a script
# that takes no such words has to refuse them, as local/stages.sh does.

__fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

# Splits the option in the first word: its name, its value, and the number of words these are.
__split() {
    local __key=${1%%=*} __next
    __name=${__key#--}
    __name=${__name//-/_}
    [[ $__name =~ ^[A-Za-z][A-Za-z0-9_]*$ ]] || __fail "invalid option $__key (--help lists the options)"
    [[ $__name == config || -n ${!__name+set} ]] || __fail "invalid option $__key (--help lists the options)"
    __words=1
    if [[ $1 == *=* ]]; then
        __value=${1#*=}
        return
    fi
    [ $# -ge 2 ] || __fail "option $__key needs a value"
    __value=$2
    __words=2
    # `--stage --nj 4` lacks a value, though `--asr-args "--lr 3"` does not.
    if [[ $2 =~ ^--[A-Za-z][A-Za-z0-9_-]*$ ]]; then
        __next=${2#--}
        __next=${__next//-/_}
        [[ $__next != help && $__next != config && -z ${!__next+set} ]] || __fail "option $__key needs a value, but $2 follows"
    fi
}

# First of all the configuration files, and --help, wherever they stand.
__find_configs() {
    __configs=()
    while [[ ${1:-} == --* || ${1:-} == -h ]]; do
        if [[ $1 == --help || $1 == -h ]]; then
            echo "${help_message:-$(basename "$0") has no help}"
            exit 0
        fi
        __split "$@"
        [ "$__name" != config ] || __configs+=("$__value")
        shift "$__words"
    done
}

__find_configs "$@"
for __config in ${__configs[@]+"${__configs[@]}"}; do
    [ -r "$__config" ] || __fail "the file of --config, $__config, cannot be read"
    # A word without a slash would be looked for in PATH.
    [[ $__config == */* ]] || __config=./$__config
    # shellcheck disable=SC1090
    . "$__config"
done
while [[ ${1:-} == --* ]]; do
    __split "$@"
    if [ -n "${!__name+set}" ]; then
        if [[ ${!__name} == true || ${!__name} == false ]] && [[ $__value != true && $__value != false ]]; then
            __fail "option ${1%%=*} takes true or false, not '$__value'"
        fi
        printf -v "$__name" %s "$__value"
    fi
    shift "$__words"
done
unset __name __value __words __config __configs
unset -f __fail __split __find_configs
