# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Stage 0 of the collection: from long recordings to PDID's layout.

in_yaml() { # in_yaml <word>: as a string there
    echo "'${1//\'/\'\'}'"
}

# collect_recordings: recordings in a folder an accent (recordings_root), or named with their accents in a table
# (recordings_list), become $downloads/pdid.  The models of each step: vad, diariser, separator.  reference: a table of
# timed utterances to compare with.  With neither root nor list, and mini=true, from the mini recordings.
collect_recordings() {
    local work=$downloads/collection root='' list='' known='' how synthetic=$mini
    if [ -n "$recordings_list$recordings_root" ]; then
        synthetic=false
        [ -z "$recordings_list" ] || list=$(from_caller "$recordings_list")
        [ -z "$recordings_root" ] || root=$(from_caller "$recordings_root")
        [ -z "$reference" ] || known=$(from_caller "$reference")
    else
        [ "$mini" = true ] || fail "there is nothing to collect from; give --recordings-root or --recordings-list"
        fetch recordings
        root=$(cat "$downloads/recordings/root.txt")/audio
        known=$(cat "$downloads/recordings/root.txt")/reference.tsv
    fi
    # In a file: a path with JOB in it would not survive the array of jobs.  Models may be paths, too.
    mkdir -p "$work"
    {
        [ -z "$list" ] || echo "table: $(in_yaml "$list")"
        [ -z "$root" ] || echo "root: $(in_yaml "$root")"
        [ -z "$known" ] || echo "reference: $(in_yaml "$known")"
        echo "settings:"
        echo "  vad: $(in_yaml "${vad:-silero}")"
        echo "  diariser: $(in_yaml "${diariser:-resemblyzer}")"
        echo "  separator: $(in_yaml "${separator:-none}")"
    } > "$work/sources.yaml"
    how=(--config "$conf/collection.yaml" --config "$work/sources.yaml")
    $train_cmd JOB=1:"$nj" "$work/log/collect.JOB.log" \
        local/collect_recordings.py "${how[@]}" --out "$work/recordings" --job JOB --jobs "$nj"
    local/merge_collection.py "${how[@]}" --recordings "$work/recordings" \
        --out "$downloads/pdid" --synthetic "$synthetic"
}
