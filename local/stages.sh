# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # the recipe that sources this sets some variables and reads the others
# What every recipe's run.sh needs once its options are known (options.sh comes before them): checks of them, folders, and
# functions for stages.

fail() { echo "$(basename "$PWD")/run.sh: $1" >&2; exit 1; }

# parse_options.sh stops at the first word that is not an option.
[ $# -eq 0 ] || fail "unexpected word '$1'; options are written --name value (--help lists them)"
# What the recipe sets itself; the user's environment may hold names of other recipes' options.
own_options=" $(sed -n 's/^\([a-z_]*\)=.*/\1/p' "$0" "${shared_options[@]}" | sort -u | xargs) "
for option in $renamed; do
    old=${option%%=*} new=${option#*=}
    [ -z "${!old}" ] || case $new in
        */*) fail "--${old//_/-} is now set in $new" ;;
        *) fail "--${old//_/-} is now called --${new//_/-}" ;;
    esac
done

check_options() { # check_options <what they take> <pattern> <options>: of these options, those that the recipe has
    local option
    for option in $3; do
        [[ $own_options != *" $option "* || ${!option} =~ ^($2)$ ]] || fail "--${option//_/-} takes $1, not '${!option}'"
    done
}

takes() { # takes <option> <list> <pattern> <what>: each word of the list is what the option takes, and none stands there twice
    local word
    for word in $2; do [[ $word =~ ^($3)$ ]] || fail "--$1 takes $4, not '$word'"; done
    # shellcheck disable=SC2086
    word=$(printf '%s\n' $2 | sort | uniq -d | head -n 1)
    [ -z "$word" ] || fail "--$1 has $word twice; leave one out"
}

# Before anything is computed with them; a recipe's own are checked where its stages begin.
whole='(0|[1-9][0-9]{0,17})' decimal='-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?'
wholes="($whole( +$whole)*)?" decimals="($decimal( +$decimal)*)?"
check_options "a number" "$whole" "stage stop_stage nj ngpu nodes seed"
check_options "a number" "($whole)?" train_jobs
check_options "numbers separated by spaces" "$wholes" seeds
[ "$stage" -le 9 ] || fail "there is no stage $stage; they go from 0 to 9 (--help)"
for option in nj nodes train_jobs; do
    [ "${!option:-1}" -ge 1 ] || fail "--${option//_/-} must be at least 1"
done
[ "$nodes" -eq 1 ] || [ "$cmd_backend" = slurm ] || fail "--nodes above 1 needs Slurm: --cmd-backend slurm"

from_caller() { # a relative path counts from where the user called the top-level run.sh
    case $1 in /*) echo "$1" ;; *) echo "${SALIENCE_CALLER:-$PWD}/$1" ;; esac
}

# Settings are the recipe's own, as in --conf conf/small, or the user's.
for option in $own_options; do
    [[ $option =~ ^(conf|matrix|paper|.*_config)$ && -n ${!option} ]] || continue
    # In the words of an array of jobs it would be taken for a job's number.
    [[ ${!option} != *JOB* ]] || fail "--${option//_/-} takes a path without JOB in it, not '${!option}'; rename or copy it"
    [ -e "${!option}" ] || printf -v "$option" %s "$(from_caller "${!option}")"
    [ -e "${!option}" ] ||
        fail "--${option//_/-}: there is no ${!option}; a relative path counts from $PWD or from where run.sh was called"
done

part=$([ "$mini" = false ] || echo /mini)
data=data$part dump=dump$part exp=exp$part downloads=downloads$part
conf=${conf:-conf$part}
train_jobs=${train_jobs:-$nj}
results=${results:-$([ "$mini" = true ] && echo exp/mini || echo .)}
device=$([ "$ngpu" -gt 0 ] && echo cuda || echo cpu)
gpu=$([ "$ngpu" -eq 0 ] || echo "--gpu $ngpu")
spread=$([ "$nodes" = 1 ] || echo "--nodes $nodes")
# Each GPU has a process of its own.
launcher=${launcher:-$([ "$ngpu" -le 1 ] && [ "$nodes" = 1 ] || echo "launch.sh $((ngpu > 1 ? ngpu : 1))")}
# A training alone uses many processors; jobs of an array one each.
all_threads=${OMP_NUM_THREADS:-$train_threads}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export NUMBA_NUM_THREADS=${NUMBA_NUM_THREADS:-$OMP_NUM_THREADS} # word times come from numba, which sets the threads of torch

# Which stage fills which folder, for programs that miss something there.  What exp holds is known by its records.
export SALIENCE_STAGES="$downloads=0 $data=1 $dump=2"

lock_folders() { # one run at a time in these folders, as two would write the same files; the last process of a run unlocks
    local file=$PWD/$exp/.lock code=0
    mkdir -p "$exp" 2> /dev/null || fail "cannot make $PWD/$exp; give this folder room and permission to write"
    { exec {lock}>> "$file"; } 2> /dev/null || fail "cannot write $file; give this folder room and permission to write"
    # A run that was killed just now may need a moment to be gone.
    flock --timeout 5 --conflict-exit-code 100 "$lock" 2> /dev/null || code=$?
    [ $code -eq 0 ] || refuse_second_run "$file" $code
    # shellcheck disable=SC2064  # the file of now: folds change $exp
    trap "end_run $(printf %q "$file")" EXIT
    trap 'exit 130' INT # Ctrl-C reaches the program in the foreground as well; bash alone would go on if that one ended otherwise
    echo "$$ $HOSTNAME $(date '+%Y-%m-%dT%H:%M:%S')" > "$file"
}

refuse_second_run() { # refuse_second_run <lock> <exit code of flock>: 100 if another run, or what is left of one, holds the lock
    local pid='' host='' since='' jobs alive=true
    read -r pid host since < "$1" || true
    [ "$host" != "$HOSTNAME" ] || kill -0 "$pid" 2> /dev/null || alive=false
    if [ "$2" -eq 100 ] && ! $alive; then
        jobs=$(exec {lock}>&-; find /proc/[0-9]*/fd -lname "$1" 2> /dev/null | cut -d / -f 3 | sort -nu | grep -vx $$ | xargs) || true
        fail "the run of process $pid on $host was killed, but its jobs still work in $PWD/$exp (process $jobs); wait until they have ended, or end them"
    elif [ "$2" -eq 100 ]; then
        fail "another run works in $PWD/$exp: process ${pid:-unknown} on ${host:-unknown} since ${since:-now}; wait until it has ended, or end it"
    elif [ -n "$pid" ] && $alive; then
        # Without flock, or on a file system that has none, what a run wrote must do.
        fail "another run works in $PWD/$exp, or was killed there: process $pid on $host since $since; wait until it has ended, or remove $1"
    fi
}

end_run() { # end_run <lock>: at the end, also by SIGTERM, with which bash comes here while a program is in the foreground
    local code=$? running
    running=$(jobs -pr)
    # A submitter cancels its jobs.
    # shellcheck disable=SC2086
    [ -z "$running" ] || { kill $running 2> /dev/null; wait $running; } || true
    : > "$1"
    # What failed on a full disk, a shell command or a job's log, may not have said what to do; and awk has codes of its own.
    if [ $code -ne 0 ] && [ "$(df -Pk "$PWD" | awk 'NR == 2 { print $4 }')" -lt 100 ]; then
        fail "no space left on the disk for $PWD; free some and run the same command again, what is done stays done"
    fi
}
lock_folders

renamed_folders() { # renamed_folders "<old>=<new> ...": stop where exp holds what an earlier version made under another name
    local pair
    for pair in $1; do
        [ ! -e "$exp/${pair%%=*}" ] ||
            fail "$PWD/$exp/${pair%%=*} was made by an earlier version; it is now called $exp/${pair#*=} and made anew: move the old folder away or remove it"
    done
}

begin() { # begin <stage> <title>: whether this stage is asked for; says so
    [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] || return 1
    export SALIENCE_STAGE=$1 # for the records of what it writes
    echo "$(date '+%Y-%m-%dT%H:%M:%S') stage $1: $2"
}

passed() { # passed <why>: what a stage says that the asked systems do not need
    echo "$(date '+%Y-%m-%dT%H:%M:%S') stage $SALIENCE_STAGE is passed: $1"
}

needs() { # needs <file> <stage>: a stage run out of order says which one makes what is missing
    [ -e "$1" ] || fail "$PWD/$1 does not exist; stage $2 writes it"
}

needs_set() { # needs_set <set> [<what else helps>]: a set that the given corpora do not make cannot be trained on
    [ -e "$data/$1/utt2spk" ] || fail "there is no $PWD/$data/$1: run stage 1, or give the corpora it is made of ($data/preparation.txt says what was left out)${2:+, or $2}"
}

fetch() { # fetch <corpus> [<option of fetch_corpus.py> ...]: stage 0 for one corpus, with the root or archive that the user gave
    local root=${1}_root archive=${1}_archive
    fetch_corpus.py --corpus "$1" --target "$downloads/$1" --mini "$mini" --seed "$seed" \
        ${!root:+--root "$(from_caller "${!root}")"} ${!archive:+--archive "$(from_caller "${!archive}")"} "${@:2}"
}

labelled() { # labelled <corpus>: what this run is called in the results
    echo "$1${label:+, $label}"
}

is_in() { # is_in <word> <words>
    case " $2 " in *" $1 "*) ;; *) return 1 ;; esac
}

settings_of() { # settings_of <file>: where it is: in the folder of settings, or else among this recipe's
    local folder
    for folder in "$conf" "conf$part" conf; do
        [ ! -f "$folder/$1" ] || break
    done
    echo "$folder/$1"
}

# Python files that add saliency methods, policies and recognisers.
if [ -n "${plugins:-}" ]; then
    SALIENCE_PLUGINS=$(for file in $plugins; do from_caller "$file"; done | paste -sd : -)
    export SALIENCE_PLUGINS
fi

quoted() { # quoted <word>: as a word of a line that nth_line.sh reads; there JOB and blanks in it stay what they are
    echo "'${1//\'/\'\\\'\'}'"
}

roots_of() { # roots_of <corpora>: sets `roots` to the options that name those corpora which stage 0 put in place
    local corpus
    roots=()
    for corpus in $1; do
        [ ! -e "$downloads/$corpus/root.txt" ] || roots+=("--$corpus" "$(cat "$downloads/$corpus/root.txt")")
    done
    [ ${#roots[@]} -gt 0 ] || fail "no corpus is in place; run stage 0"
}

present() { # present <names>: those of the sets that stage 1 wrote
    local name
    for name in $1; do [ ! -e "$data/$name/utt2spk" ] || echo "$name"; done | xargs
}

split_sets() { # split_sets <names>: each set's utterances, shared among the jobs
    local name
    [ -n "$1" ] || fail "there is no set in $PWD/$data; stage 1 writes them"
    for name in $1; do
        needs "$data/$name/utt2spk" 1
        split_data.sh "$data/$name" "$nj" > /dev/null
    done
}

folders_of() { # folders_of <names>: the folders of those sets that stage 1 wrote; what has a slash in it is a folder already
    local name
    for name in $1; do
        case $name in */*) echo "$name" ;; *) [ ! -e "$data/$name/utt2spk" ] || echo "$data/$name" ;; esac
    done | xargs
}

check_sets() { # check_sets <train sets> <dev sets> <test sets> [option of check_leakage.py ...]: Kaldi's rules, and leakage
    local name
    for name in $1 $2 $3; do
        [ -e "$data/$name/utt2spk" ] || continue
        validate_data_dir.sh --no-feats --max-duration 30 "$data/$name"
    done
    check_leakage.py --train "$(folders_of "$1")" --dev "$(folders_of "$2")" --test "$(folders_of "$3")" \
        --report "$data/leakage.md" "${@:4}"
}

run_array() { # run_array <log name> <lines of arguments> [<options of the submitter>] -- <command>: one job a line and, with {seed}, seed
    local log=$1 options=()
    mkdir -p "$(dirname "$log")"
    with_seeds "$2" > "$log.lines"
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    # shellcheck disable=SC2086
    $cuda_cmd "${options[@]}" JOB=1:"$(wc -l < "$log.lines")" "$log.JOB.log" nth_line.sh "$log.lines" JOB "$@"
}

train_array() { # train_array <log name> <lines of arguments> <program and its other arguments>: one training a line
    # shellcheck disable=SC2086
    run_array "$1" "$2" $gpu $spread --max-jobs-run "$train_jobs" -- $launcher "${@:3}" --ngpu "$ngpu"
}

each_seed() { # each_seed <words>: a line of them for every seed, which {seed} stands for
    local s
    for s in $seeds; do echo "${1//\{seed\}/$s}"; done
}

with_seeds() { # with_seeds <lines>: these, a line with {seed} for every seed
    local line
    while read -r line; do
        case $line in
            '') ;;
            *'{seed}'*) each_seed "$line" ;;
            *) echo "$line" ;;
        esac
    done <<< "$1"
}

needs_each_seed() { # needs_each_seed <file with {seed}> <stage>
    local file
    for file in $(each_seed "$1"); do needs "$file" "$2"; done
}

one_of() { # one_of <words>: them with | between, as placeholders of patterns take them
    echo "$*" | xargs | tr ' ' '|'
}

