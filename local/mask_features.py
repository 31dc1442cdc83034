#!/usr/bin/env python3
"""Stage 5: masked features of one job's share of a set, one variant after the other."""

import logging
from contextlib import nullcontext
from pathlib import Path

from salience import program
from salience.data.directories import read_data_dir
from salience.data.tables import read_table, write_table
from salience.features.archives import Archive, ArchiveWriter, archive_bytes
from salience.files import require_space
from salience.masking.apply import Masker, apply_mask, open_maps
from salience.masking.policies import Masking
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger("mask_features")


def mask_features(
    data: Path,
    features: Path,
    maps: Path,
    sets: str,
    variants: str,
    out: Path,
    job: int = 1,
    jobs: int = 1,
    masking: Masking = Masking(),
    archives: bool = True,
    compress: bool = False,
    seed: int = 1,
    check_space: bool = True,
) -> None:
    """Write out/VARIANT/SET/feats.JOB.{ark,scp} and masked_share.JOB, the masked share of each utterance.

    These are the masks of epoch 0.  Fine-tuning reads them with `--masks
    fixed`, or draws the masks again in each epoch from the maps.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        maps: Folder of the saliency maps.
        sets: Names of the sets, separated by spaces.
        variants: Kinds of masks, separated by spaces.
        out: Folder for the masked features.
        job: This job's number.
        jobs: How many jobs share the work.
        masking: Policies and fill.
        archives: Write the features; otherwise only the shares.
        compress: Store one byte a value.
        seed: Of the draws.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    if check_space and archives:
        places = [out / variant / name for variant in variants.split() for name in sets.split()]
        needed = len(variants.split()) * sum(_bytes(features / name, compress) for name in sets.split())
        require_space(out, places, needed, "the masked features")
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job)
        source = Archive(features / name / "feats.scp")
        for variant in variants.split():
            place = out / variant / name
            loaded, used = open_maps(maps, name, variant)
            outputs = [place / f"masked_share.{job}", *([place / f"feats.{job}.scp"] if archives else [])]
            step = Step(
                place / f"feats.{job}.step.json",
                {"jobs": jobs, "masking": masking, "archives": archives, "compress": compress, "seed": seed},
                inputs=[share, features / name / "feats.scp", *used],
                outputs=outputs,
            )
            if step.is_done():
                continue
            masker = Masker(variant, masking, loaded, seed)
            shares = {}
            with step, ArchiveWriter(place / f"feats.{job}", compress) if archives else nullcontext() as writer:
                for utterance in bar(read_data_dir(share), f"{variant} of {name}"):
                    matrix = source[utterance.id]
                    keep = masker.mask(utterance.id, *matrix.shape, epoch=0)
                    shares[utterance.id] = f"{1 - keep.mean():.4f}"
                    if writer is not None:
                        writer.write(utterance.id, apply_mask(matrix, keep, masking.fill))
                write_table(place / f"masked_share.{job}", shares)
            logger.info(
                "%s: masked %.1f %% of %d utterances",
                place,
                100 * sum(map(float, shares.values())) / len(shares),
                len(shares),
            )


def _bytes(features: Path, compress: bool) -> int:
    """What a copy of a set's features takes."""
    source = Archive(features / "feats.scp")
    frames = map(int, read_table(features / "utt2num_frames").values())
    return archive_bytes(frames, source[next(iter(source))].shape[1], compress) if source else 0


if __name__ == "__main__":
    program.main(mask_features)
