#!/usr/bin/env python3
"""Stage 4: where the maps of a model point: silence, padding, ends, words, classes of phones, frequencies."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.ctm import read_ctm
from salience.data.directories import read_data_dir
from salience.data.lexicon import read_lexicon
from salience.features.logmel import bin_centres
from salience.files import write_json
from salience.progress import bar
from salience.registry import plugins_of
from salience.saliency.base import CONTROLS, METHODS
from salience.saliency.explained import Target, load_explained, maps_of_set
from salience.saliency.location import locate, unknown_words
from salience.saliency.measurement import spread
from salience.steps import Step

logger = logging.getLogger("locate_saliency")


def locate_saliency(
    model: Path,
    data: Path,
    sets: str,
    out: Path,
    methods: str = "gradcam",
    features: Path | None = None,
    task: str = "accent",
    words: Path | None = None,
    lexicon: Path | None = None,
    limit: int = 0,
    target: Literal["predicted", "true"] = "true",
    batch_size: int = 8,
    seed: int = 1,
    device: str = "cpu",
) -> None:
    """Write OUT/METHOD/SET/located.json, the shares of each utterance, for each method and set.

    The maps are made here, because archived ones have no padding.  Controls
    among the methods are left out.

    Args:
        model: Folder of an accent classifier, or of a classifier of wav2vec 2.0.
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for the shares.
        methods: Saliency methods, separated by spaces.
        features: Folder of the features or packed signals; without one wav2vec 2.0 decodes the recordings.
        task: What a classifier of signals tells: accent or gender.
        words: Folder of SET/ctm, with the times of words.
        lexicon: File with the phones of words, as CMUdict has them.
        limit: At most this many utterances of a set, from as many speakers as there are; 0 takes all.
        target: Explain the score of the predicted or of the true class.
        batch_size: Utterances explained at a time.
        seed: Random seed of methods that draw.
        device: cpu or cuda.
    """
    explained = load_explained(model, Target(target, task), device)
    explained.padded = True
    phones = read_lexicon(lexicon) if lexicon else {}
    names = [method for method in dict.fromkeys(methods.split()) if method not in CONTROLS]
    config = {"methods": names, "limit": limit, "target": target, "seed": seed}
    plugins = plugins_of(*(METHODS[method] for method in names))
    for name in sets.split():
        source = explained.open(data / name, features and features / name)
        files = {method: out / method / name / "located.json" for method in names}
        ctm = [words / name / "ctm"] if words else []
        inputs = [*explained.files, *source.inputs, *ctm, *([lexicon] if lexicon else [])]
        step = Step(
            out / f"{name}.step.json", config | {"sound": source.identity}, [*inputs, *plugins], list(files.values())
        )
        if step.is_done():
            continue
        with step:
            spoken = read_ctm(ctm[0]) if ctm else {}
            utterances = {u.id: u for u in read_data_dir(data / name) if u.id in source.frames}
            source.keep(u.id for u in spread(utterances.values(), limit or len(utterances)))
            hertz = [] if explained.latent else bin_centres(len(explained.baseline)).round(1).tolist()
            found, empty = {method: {} for method in files}, 0
            rows = maps_of_set(explained, source, list(files), batch_size, seed)
            for key, maps, _ in bar(rows, f"places in {name}", len(source.frames)):
                level, heard = source.levels(key), explained.heard(source.frames[key])
                about = {"speaker": utterances[key].speaker, "accent": utterances[key].accent}
                for method, own in maps.items():
                    if located := locate(
                        own, level, explained.frame_shift, heard, len(hertz), spoken.get(key, ()), phones
                    ):
                        found[method][key] = about | located
                    else:
                        empty += 1
            unknown = unknown_words(spoken, phones) if phones else {}
            for method, path in files.items():
                write_json(path, {"unknown_words": unknown, "hertz": hertz, "utterances": found[method]})
        logger.info("%s: %d utterances; %d maps without importance", out / "*" / name, len(source.frames), empty)
        if unknown:
            shown = ", ".join(list(unknown)[:10])
            logger.info("%s: the lexicon lacks %d words of %d: %s", name, len(unknown), sum(unknown.values()), shown)


if __name__ == "__main__":
    program.main(locate_saliency)
