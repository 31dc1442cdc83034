#!/usr/bin/env python3
"""Stage 4: saliency maps of one job's share of each set, by any methods, for an accent classifier or wav2vec 2.0."""

import logging
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.tables import write_table
from salience.features.archives import ArchiveWriter
from salience.files import require_space, write_json
from salience.models.precision import Precision, usable
from salience.progress import bar
from salience.registry import plugins_of
from salience.saliency.base import METHODS
from salience.saliency.explained import Target, bytes_of_maps, load_explained, maps_of_set
from salience.steps import Step

logger = logging.getLogger("map_saliency")


@program.renamed(classifier="model", packed="features", most_per_accent="max_per_accent")
def map_saliency(
    model: Path,
    data: Path,
    sets: str,
    out: Path,
    methods: str = "gradcam",
    features: Path | None = None,
    task: str = "",
    target: Literal["predicted", "true", "greedy", "reference"] = "predicted",
    per_character: bool = False,
    max_per_accent: int = 0,
    normaliser: str = "raw",
    job: int = 0,
    jobs: int = 0,
    compress: bool = True,
    batch_size: int = 8,
    seed: int = 1,
    precision: Precision = "float32",
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write out/METHOD/[TASK/]SET/saliency.{ark,scp} and saliency.json for each method.

    A map is (columns, rows) at the method's own resolution, which saliency.json
    states.  Of wav2vec 2.0 it is (latent frames, 1), in [0, 1]; with
    --per-character (frames, symbols), which the table `symbols` names.  Texts
    too long for CTC have no map of --target reference.  A job writes saliency.JOB.

    Args:
        model: Folder of an accent classifier, or of a classifier or CTC model of wav2vec 2.0.
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for the maps.
        methods: Saliency methods, separated by spaces: gradcam, gradcam++, integrated-gradients, smoothgrad, occlusion,
            the control random, and those of plug-ins.
        features: Folder of the features or packed signals; without one wav2vec 2.0 decodes the recordings.
        task: What the maps explain, a folder between method and set: accent, gender, or any name for CTC.
        target: The predicted or the true class; of a CTC model the symbols of its best path (greedy) or of the text.
        per_character: A map for each symbol of a CTC model.
        max_per_accent: At most this many utterances per accent; 0 maps all.
        normaliser: Normaliser of the text, for --target reference.
        job: This job's number; it takes its share of the sets' split.
        jobs: Number of parallel jobs; 0 is no array.
        compress: Store one byte a value; float32 otherwise.
        batch_size: Utterances, or symbols of one, explained at a time.
        seed: Random seed of methods that draw.
        precision: bf16 makes maps a little coarser in half the time; without instructions for it float32 is used.
        device: cpu or cuda.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    chosen = Target(target, task or "accent", per_character, normaliser)
    lower = {} if usable(precision, device) == "float32" else {"precision": precision}  # earlier records have none
    names, suffix = list(dict.fromkeys(methods.split())), f".{job}" if jobs else ""
    explained = load_explained(model, chosen, device)
    if check_space:
        whole = [explained.open(data / name, features and features / name, max_per_accent) for name in sets.split()]
        places = (out / method / task / name for method in names for name in sets.split())
        require_space(out, places, bytes_of_maps(explained, whole, names, compress), "the maps")
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job) if jobs else data / name
        source = explained.open(share, features and features / name, max_per_accent)
        folders = {method: out / method / task / name for method in names}
        settings = {"max_per_accent": max_per_accent, "jobs": jobs, "compress": compress, **lower}
        steps = {
            method: Step(
                folder / f"saliency{suffix}.step.json",
                {**asdict(chosen), **settings, "seed": seed, "sound": source.identity},
                inputs=[*source.inputs, *explained.files, *plugins_of(METHODS[method])],
                outputs=[folder / f"saliency{suffix}.scp"],
            )
            for method, folder in folders.items()
        }
        missing = [method for method, step in steps.items() if not step.is_done()]
        if not missing:
            continue
        with ExitStack() as stack:
            writers = {}
            for method in missing:
                stack.enter_context(steps[method])
                writers[method] = stack.enter_context(ArchiveWriter(folders[method] / f"saliency{suffix}", compress))
            symbols, maps = {}, {}
            rows = maps_of_set(explained, source, missing, batch_size, seed, bool(lower))
            for key, maps, spoken in bar(rows, f"maps of {name}", len(source.frames)):
                for method, found in maps.items():
                    writers[method].write(key, found.values)
                symbols[key] = spoken
            for method, found in maps.items():
                if per_character:
                    write_table(folders[method] / f"symbols{suffix}", symbols)
                if job <= 1:
                    write_json(folders[method] / "saliency.json", {**found.about(), **explained.about()})
        logger.info("wrote maps of %d utterances to %s: %s", len(symbols), out / "*" / task / name, ", ".join(missing))


if __name__ == "__main__":
    program.main(map_saliency)
