#!/usr/bin/env python3
"""Stage 4: the masks of whole sets by a generator, to archives."""

import logging
from pathlib import Path

import torch

from salience import program
from salience.data.packed import read_packed
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.features.commands import BINS, FRAMES, SAMPLES, decibels, spectra
from salience.files import require_space
from salience.models.mask_generator import load_generator
from salience.progress import bar
from salience.steps import Step
from salience.training.commands import as_float

logger = logging.getLogger(Path(__file__).name)

BATCH = 256


def map_importance(
    packed: Path,
    generator: Path,
    out: Path,
    sets: str = "train dev test",
    compress: bool = True,
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write OUT/SET/mask.ark and mask.scp.

    A mask M is (126 frames, 257 bins), 1 where noise does no harm, so the
    importance of a point is 1 - M.

    Args:
        packed: Folder of the packed sets.
        generator: Folder of the generator.
        out: Folder of the masks.
        sets: Names of the sets, separated by spaces.
        compress: Store one byte a value.
        device: cpu or cuda.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    if check_space:
        clips = sum(len(read_packed(packed / name)) for name in sets.split())
        require_space(
            out, (out / name for name in sets.split()), archive_bytes([FRAMES] * clips, BINS, compress), "the masks"
        )
    model = None
    for name in sets.split():
        step = Step(
            out / name / "step.json",
            {"compress": compress},
            inputs=[packed / name / "step.json", generator / "model.safetensors"],
            outputs=[out / name / "mask.scp"],
        )
        if step.is_done():
            continue
        model = model or load_generator(generator, device)
        source = read_packed(packed / name)
        waveforms = torch.from_numpy(source.rows(SAMPLES).copy())
        samples = torch.from_numpy(source.samples)
        with step, ArchiveWriter(out / name / "mask", compress) as writer, torch.no_grad():
            for rows in bar(torch.arange(len(source)).split(BATCH), f"masks of {name}"):
                levels = decibels(spectra(as_float(waveforms[rows].to(device)), samples[rows].to(device)))
                masks = torch.sigmoid(model(levels)).transpose(1, 2).cpu().numpy()
                for row, mask in zip(rows.tolist(), masks, strict=True):
                    writer.write(source.ids[row], mask)
        logger.info("wrote %d masks to %s", len(source), out / name)


if __name__ == "__main__":
    program.main(map_importance)
