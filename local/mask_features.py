#!/usr/bin/env python3
"""Stage 5: the masks of one job's share of each set, and the masked features, one system after the other."""

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import numpy as np

from salience import program
from salience.data.tables import read_table, write_table
from salience.features.archives import Archive, ArchiveWriter, archive_bytes
from salience.files import require_space
from salience.masking.apply import Masker, apply_mask, open_maps, set_sizes
from salience.masking.systems import asked_systems
from salience.progress import bar
from salience.registry import plugins_of
from salience.steps import Step

logger = logging.getLogger("mask_features")


@program.renamed(variants="only", variant="only", masking="systems")
def mask_features(
    data: Path,
    features: Path,
    maps: Path,
    sets: str,
    systems: Path,
    only: str,
    out: Path,
    classifier: str = "",
    task: str = "",
    job: int = 0,
    jobs: int = 0,
    archives: Literal["features", "masks", "none"] = "features",
    compress: bool = False,
    seed: int = 1,
    check_space: bool = True,
) -> None:
    """Write out/SYSTEM/SET/feats.{ark,scp} or mask.{ark,scp}, and masked_share, the masked share of each utterance.

    These are the masks of epoch 0.  Fine-tuning reads masked features with
    `--masks fixed`, or draws the masks again in each epoch from the maps.  A
    mask is 1 where a point is masked; of wav2vec 2.0's latent frames it is
    (frames, 1).  Of an array of jobs, each writes feats.JOB for
    merge_archives.py.

    Args:
        data: Folder of the data directories.
        features: Folder of the features, or of packed signals, which stand for wav2vec 2.0's latent frames.
        maps: Folder of the saliency maps.
        sets: Names of the sets, separated by spaces.
        systems: The recipe's systems.yaml.
        only: Systems to mask for, separated by spaces.
        out: Folder for the masks or masked features.
        classifier: The classifier whose maps a system takes that names none, where the folder of maps has several.
        task: Folder of the maps between method and set, where there is one.
        job: This job's number; it takes its share of the sets' split.
        jobs: Number of parallel jobs; 0 is no array.
        archives: Write masked features, masks, or only the shares.
        compress: Store one byte a value.
        seed: Random seed of the masks, as in the training.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    asked, suffix = asked_systems(systems, only, classifier), f".{job}" if jobs else ""
    sizes = {name: set_sizes(features / name) for name in sets.split()}
    if check_space and archives != "none":
        places = [out / system / name for system in asked for name in sizes]
        needed = sum(archive_bytes(frames.values(), bins, compress) for frames, bins in sizes.values())
        require_space(out, places, len(asked) * needed, "the masked features")
    prefix = "mask" if archives == "masks" else "feats"
    for name, (frames, bins) in sizes.items():
        share = data / name / f"split{jobs}" / str(job) if jobs else data / name
        source = Archive(features / name / "feats.scp") if archives == "features" else None
        for label, system in asked.items():
            place = out / label / name
            opened, used = open_maps(maps, str(Path(task, name)), system)
            step = Step(
                place / f"{prefix}{suffix}.step.json",
                {"jobs": jobs, "system": system, "archives": archives, "compress": compress, "seed": seed},
                inputs=[share, *used, *plugins_of(*system.policies), *([source.path] if source else [])],
                outputs=[place / f"masked_share{suffix}"]
                + ([place / f"{prefix}{suffix}.scp"] if archives != "none" else []),
            )
            if step.is_done():
                continue
            masker = Masker(system, seed, opened, frames)
            shares = {}
            writing = archives != "none"
            with step, ArchiveWriter(place / f"{prefix}{suffix}", compress) if writing else nullcontext() as writer:
                for key in bar(read_table(share / "utt2spk"), f"{label} of {name}"):
                    matrix = source[key] if source else None
                    keep = masker.keep(key, *((frames[key], bins) if matrix is None else matrix.shape), epoch=0)
                    shares[key] = f"{1 - keep.mean():.6f}"
                    if matrix is not None:
                        writer.write(key, apply_mask(matrix, keep, system.fill))
                    elif writer is not None:
                        writer.write(key, (~keep).astype(np.float32))
                write_table(place / f"masked_share{suffix}", shares)
            masked = 100 * np.mean([float(part) for part in shares.values()])
            logger.info("%s: masked %.1f %% of %d utterances", place, masked, len(shares))


if __name__ == "__main__":
    program.main(mask_features)
