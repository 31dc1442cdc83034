#!/usr/bin/env python3
"""Stage 4: how faithful a model's saliency maps are to it, on a few utterances of each set."""

import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.directories import read_data_dir
from salience.files import write_json
from salience.registry import plugins_of
from salience.saliency.base import CONTROLS, METHODS
from salience.saliency.explained import Batch, Explained, Target, load_explained
from salience.saliency.measurement import measure, spread
from salience.steps import Step

logger = logging.getLogger("measure_saliency")


def measure_saliency(
    model: Path,
    data: Path,
    sets: str,
    out: Path,
    methods: str = "gradcam",
    others: str = "",
    features: Path | None = None,
    task: str = "accent",
    target: Literal["predicted", "true", "greedy", "reference"] = "predicted",
    normaliser: str = "raw",
    limit: int = 10,
    batch_size: int = 4,
    seed: int = 1,
    device: str = "cpu",
) -> None:
    """Write out/METHOD.SET.json for each method: curves and agreement of each utterance's map.

    Maps are made anew, for at most `limit` utterances of a set.  Curves are
    of the probability of what is explained while the most important points are
    hidden, or are all that is shown, beside two controls that hide as many.
    Agreement is that with maps of the model trained with other seeds, by other
    methods, at other layers, and with weights randomised layer by layer.
    Controls among the methods are left out.

    Args:
        model: Folder of an accent classifier, or of a classifier or CTC model of wav2vec 2.0.
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for what is found.
        methods: Saliency methods, separated by spaces.
        others: Folders of the same model trained with other seeds, separated by spaces.
        features: Folder of the features or packed signals; without one wav2vec 2.0 decodes the recordings.
        task: What a classifier of signals tells: accent or gender.
        target: The predicted or the true class; of a CTC model the symbols of its best path (greedy) or of the text.
        normaliser: Normaliser of the text, for --target reference.
        limit: At most this many utterances of a set, from as many speakers as there are.
        batch_size: Utterances at a time.
        seed: Random seed of methods that draw and of the controls.
        device: cpu or cuda.
    """
    chosen = Target(target, task, normaliser=normaliser)
    names = [name for name in dict.fromkeys(methods.split()) if name not in CONTROLS]
    if not names:
        logger.info("nothing to measure: %s knows nothing of the model", methods)
        return
    explained = load_explained(model, chosen, device)
    seeds = {Path(other).name: load_explained(Path(other), chosen, device) for other in others.split()}
    for name in sets.split():
        source = explained.open(data / name, features and features / name)
        models = [file for each in (explained, *seeds.values()) for file in each.files]
        step = Step(
            out / f"{name}.step.json",
            {**asdict(chosen), "methods": names, "limit": limit, "seed": seed, "sound": source.identity},
            inputs=[*source.inputs, *models, *plugins_of(*(METHODS[method] for method in names))],
            outputs=[out / f"{method}.{name}.json" for method in names],
        )
        if step.is_done():
            continue
        with step:
            spoken = spread((u for u in read_data_dir(data / name) if u.id in source.frames), limit)
            speakers = {utterance.id: utterance.speaker for utterance in spoken}
            place = data / name, features and features / name
            others_of = {of: (one, batches_of(one, *place, speakers, batch_size)) for of, one in seeds.items()}
            batches = batches_of(explained, *place, speakers, batch_size)
            found = measure(explained, batches, names, others_of, seed=seed)
            for method, each in found.items():
                each["speakers"] = [speakers[key] for key in each["utterances"]]
                write_json(out / f"{method}.{name}.json", each)
            logger.info("measured %s on %d utterances of %s, wrote %s", ", ".join(names), len(speakers), name, out)


def batches_of(
    model: Explained, data: Path, features: Path | None, keys: Iterable[str], batch_size: int
) -> list[Batch]:
    """The batches of these utterances of a set, as the model reads them."""
    source = model.open(data, features)
    source.keep(keys)
    return list(source.batches(batch_size))


if __name__ == "__main__":
    program.main(measure_saliency)
