# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # the recipe that sources this sets some variables and reads the others
# What every recipe's run.sh needs: folders, checks of the options, and words for stages.
# A recipe sets: mini, stage, stop_stage, nj, ngpu, seed; conf, results and train_jobs may be empty.

part=$([ "$mini" = false ] || echo /mini)
data=data$part dump=dump$part exp=exp$part downloads=downloads$part
conf=${conf:-conf$part}
train_jobs=${train_jobs:-$nj}
results=${results:-$([ "$mini" = true ] && echo exp/mini || echo .)}
device=$([ "$ngpu" -gt 0 ] && echo cuda || echo cpu)
gpu=$([ "$ngpu" -eq 0 ] || echo "--gpu $ngpu")
# A training alone uses all processors; jobs of an array one each.
all_threads=${OMP_NUM_THREADS:-$(nproc)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

fail() { echo "$(basename "$PWD")/run.sh: $1" >&2; exit 1; }

for option in stage stop_stage nj ngpu seed; do
    [[ ${!option} =~ ^[0-9]+$ ]] || fail "--${option//_/-} takes a number, not '${!option}'"
done
[ "$stage" -le 9 ] || fail "there is no stage $stage; they go from 0 to 9 (--help)"
[ "$nj" -ge 1 ] || fail "--nj must be at least 1"

begin() { # begin <stage> <title>: whether this stage is asked for; says so
    [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] || return 1
    echo "$(date '+%Y-%m-%dT%H:%M:%S') stage $1: $2"
}

needs() { # needs <file> <stage>: a stage run out of order says which one makes what is missing
    [ -e "$1" ] || fail "$PWD/$1 does not exist; stage $2 writes it"
}

needs_set() { # needs_set <set>: a set that the given corpora do not make cannot be trained on
    [ -e "$data/$1/utt2spk" ] || fail "there is no $PWD/$data/$1: run stage 1, or give the corpora it is made of ($data/preparation.txt says what was left out)"
}

fetch() { # fetch <corpus>: stage 0 for one corpus, with the root or archive that the user gave
    local root=${1}_root archive=${1}_archive
    fetch_corpus.py --corpus "$1" --target "$downloads/$1" --mini "$mini" --seed "$seed" \
        ${!root:+--root "$(from_caller "${!root}")"} ${!archive:+--archive "$(from_caller "${!archive}")"}
}

from_caller() { # a relative path counts from where the user called the top-level run.sh
    case $1 in /*) echo "$1" ;; *) echo "${SALIENCE_CALLER:-$PWD}/$1" ;; esac
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
    for name in $1; do
        needs "$data/$name/utt2spk" 1
        split_data.sh "$data/$name" "$nj" > /dev/null
    done
}

folders_of() { # folders_of <names>: the folders of those sets that stage 1 wrote
    present "$1" | tr ' ' '\n' | sed "s#.#$data/&#" | xargs
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

in_array() { # in_array <log name> <list of argument lines> <options of the submitter> -- <command>: one job a line
    local log=$1 lines=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    # shellcheck disable=SC2086
    $cuda_cmd "${options[@]}" JOB=1:"$(wc -l < "$lines")" "$log.JOB.log" nth_line.sh "$lines" JOB "$@"
}

trainings() { # the submitter's options for trainings
    echo "$gpu --max-jobs-run $train_jobs"
}
