#!/usr/bin/env bash
# The authors' checkpoint: their recogniser as a system to be decoded and scored, and their generator's masks on dev,
# scored as our own are while they are trained.
checkpoint=  # file of the checkpoint
data=
packed=
settings=    # settings of the generators to compare with
recogniser=  # folder for the recogniser
out=         # folder for the generator, its masks and its score
device=cpu
check_space=true

set -euo pipefail
. ./path.sh
. parse_options.sh

local/convert_published.py --checkpoint "$checkpoint" --recogniser "$recogniser" --generator "$out/generator"
estimate_noise_masks.py --kind generator --data "$packed" --models "$out/generator" --out "$out/masks" --sets dev \
    --device "$device" --check-space "$check_space"
score_generator.py --config "$settings" --data "$data" --packed "$packed" --generator "$out/generator" \
    --recogniser "$recogniser" --out "$out/dev"
