# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Stage 0 of the collection: from long recordings to PDID's layout.

in_yaml() { # in_yaml <word>: as a string there
    echo "'${1//\'/\'\'}'"
}

# collection_sources: what is collected from, and the models that do it, as YAML: recordings in a folder an accent
# (recordings_root), or named with their accents in a table (recordings_list), else the mini recordings.  reference: a
# table of timed utterances to compare with.  The models of each step: vad, diariser, separator.
collection_sources() {
    local root=$recordings_root list=$recordings_list known=$reference
    if [ -z "$list$root" ]; then
        root=$(cat "$downloads/recordings/root.txt")/audio
        known=$(cat "$downloads/recordings/root.txt")/reference.tsv
    else
        root=${root:+$(from_caller "$root")} list=${list:+$(from_caller "$list")} known=${known:+$(from_caller "$known")}
    fi
    [ -z "$list" ] || echo "table: $(in_yaml "$list")"
    [ -z "$root" ] || echo "root: $(in_yaml "$root")"
    [ -z "$known" ] || echo "reference: $(in_yaml "$known")"
    echo "settings:"
    echo "  vad: $(in_yaml "${vad:-silero}")"
    echo "  diariser: $(in_yaml "${diariser:-resemblyzer}")"
    echo "  separator: $(in_yaml "${separator:-none}")"
}

# collect_recordings: the recordings become $downloads/pdid.
collect_recordings() {
    local work=$downloads/collection how synthetic=false
    if [ -z "$recordings_list$recordings_root" ]; then
        [ "$mini" = true ] || fail "there is nothing to collect from; give --recordings-root or --recordings-list"
        synthetic=true
        fetch recordings
    fi
    # In a file: a path with JOB in it would not survive the array of jobs.  Models may be paths, too.
    mkdir -p "$work"
    collection_sources > "$work/sources.yaml"
    how=(--config "$conf/collection.yaml" --config "$work/sources.yaml")
    $train_cmd JOB=1:"$nj" "$work/log/collect.JOB.log" \
        local/collect_recordings.py "${how[@]}" --out "$work/recordings" --job JOB --jobs "$nj"
    local/merge_collection.py "${how[@]}" --recordings "$work/recordings" \
        --out "$downloads/pdid" --synthetic "$synthetic"
}
