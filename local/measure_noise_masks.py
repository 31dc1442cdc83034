#!/usr/bin/env python3
"""Stage 4: how faithful noise masks are to the recogniser that they were trained with, on a few utterances."""

import logging
from dataclasses import asdict
from pathlib import Path

from salience import program
from salience.data.packed import open_signals
from salience.decoding.in_noise import IN_NOISE, InNoise, measure
from salience.features.fbank import RATE
from salience.files import write_json
from salience.saliency.faithfulness import SHARES
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


@program.chosen_by("kind", IN_NOISE.names, lambda name: {"heard": IN_NOISE[name]})
def measure_noise_masks(
    heard: InNoise,
    model: Path,
    data: Path,
    out: Path,
    system: str = "",
    test_set: str = "test",
    others: str = "",
    packed: Path | None = None,
    limit: int = 100,
    seed: int = 1,
    device: str = "cpu",
) -> None:
    """Write OUT/SYSTEM.SET.json: curves and agreement of the masks of each utterance.

    Masks are made anew, since archives keep a byte of each value.  Curves are
    of the log-probability of the text while noise is put on the most important
    points first, or is everywhere and lifted from these first, beside two
    controls of equal area: the map moved round, and another utterance's.
    Errors of the hypotheses are counted at the same points.  Agreement is that
    with masks that were trained with other seeds.

    Args:
        model: folder of the mask estimator or generator
        data: folder of the data directories
        out: folder for what is found
        system: what the results call the masks (default: mask-estimator or mask-generator)
        test_set: name of the set
        others: folders of the same model trained with other seeds, separated by spaces
        packed: folder of the packed signals, if they are read from there
        limit: takes at most this many utterances, from as many speakers as there are
        seed: random seed of ties and controls
        device: cpu or cuda
    """
    folders = [model, *(path for path in map(Path, others.split()) if path != model)]
    name = f"{system or f'mask-{heard.kind}'}.{test_set}"
    place, own = out / f"{name}.json", packed and packed / test_set
    signals = open_signals(own or data / test_set, RATE)
    step = Step(
        out / f"{name}.step.json",
        {**asdict(heard), "limit": limit, "shares": SHARES, "seed": seed, "signals": signals.fingerprint},
        inputs=[data / test_set, *signals.files, *heard.files(), *(f / "model.safetensors" for f in folders)],
        outputs=[place],
    )
    if step.is_done():
        return
    with step:
        heard.open(model, data / test_set, own, limit, device)
        maps = {folder.name: heard.importance(folder) for folder in folders}
        write_json(place, measure(heard, maps.pop(model.name), maps, SHARES, seed))
    logger.info("measured the masks of %d utterances, wrote %s", len(heard.ids), place)


if __name__ == "__main__":
    program.main(measure_noise_masks)
