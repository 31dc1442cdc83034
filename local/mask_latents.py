#!/usr/bin/env python3
"""Stage 5: which latent frames of wav2vec 2.0 a variant hides, to archives."""

import logging
from pathlib import Path

import numpy as np

from salience import program
from salience.data.tables import write_table
from salience.features.archives import Archive, ArchiveWriter
from salience.masking.latents import LatentMasker, LatentMasking
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def mask_latents(maps: Path, out: Path, variant: str, masking: LatentMasking = LatentMasking(), seed: int = 1) -> None:
    """Write OUT/mask.scp and OUT/masked_share: what a training hides in its first epoch.

    A mask is (frames, 1), 1 where a frame is hidden.  Trainings draw the same
    masks by themselves, and new ones in every epoch.

    Args:
        maps: saliency.scp of the training set.
        out: Folder of the masks.
        variant: specaugment, random-mask or gradcam.
        masking: How latent frames are masked.
        seed: Of the masks, as in the training.
    """
    step = Step(
        out / "step.json",
        {"variant": variant, "masking": masking, "seed": seed},
        inputs=[maps],
        outputs=[out / "mask.scp", out / "masked_share"],
    )
    if step.is_done():
        return
    archive = Archive(maps)
    masker = LatentMasker(variant, masking, archive, seed)
    shares = {}
    with step, ArchiveWriter(out / "mask", compress=False) as writer:
        for key in archive:
            masked = masker.masked(key, len(archive[key]), epoch=0)
            writer.write(key, masked[:, None].astype(np.float32))
            shares[key] = f"{masked.mean():.6f}"
        write_table(out / "masked_share", shares)
    logger.info("%s hides %.1f %% of the frames", variant, 100 * np.mean([float(share) for share in shares.values()]))


if __name__ == "__main__":
    program.main(mask_latents)
