#!/usr/bin/env bash
# The search for settings of Grad-CAM's masks, on dev sets alone, after stages 0 to 4 of ./run.sh with the same options;
# called in the recipe's folder, from which relative paths count:
#     local/run_search.sh --common-voice-root ... --speech-accent-archive-root ... --model tiny.en
# conf/search.yaml says what is compared; the scores stand in RESULTS_details.md, apart from those of the tests.
set -euo pipefail

trained="plain gradcam low-thresholds high-thresholds share-0.1 share-0.3 fill-floor fill-mean"
search() {
    ./run.sh "$@" --systems-config conf/search.yaml --scored "asr_dev dev_accents" --seeds 1 \
        --faithfulness-limit 0 --location-limit 0
}
search "$@" --stage 5 --stop-stage 6 --systems "$trained"
search "$@" --stage 5 --stop-stage 6 --systems drawn-once --masks fixed
search "$@" --stage 7 --stop-stage 9 --systems "zero-shot $trained drawn-once"
