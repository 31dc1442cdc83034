#!/usr/bin/env python3
"""Stage 2: mean and variance of a set's features, as ESPnet and as Kaldi read them."""

import logging
from pathlib import Path

import kaldiio
import numpy as np

from salience import program
from salience.errors import stale
from salience.features.archives import Archive
from salience.files import whole_file
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger("compute_cmvn")


def compute_cmvn(features: Path, out: Path) -> None:
    """Write out/cmvn.npz (count, sum, sum_square) and out/cmvn.ark (Kaldi's matrix of 2 x (dimension + 1)).

    Args:
        features: scp file of the features, usually those of the training set
        out: folder for the two files
    """
    npz, ark = out / "cmvn.npz", out / "cmvn.ark"
    step = Step(out / "cmvn.step.json", {}, inputs=[features], outputs=[npz, ark])
    if step.is_done():
        return
    with step:
        count, total, total_square = _sums(Archive(features))
        with whole_file(npz, "wb") as handle:
            np.savez(handle, count=count, sum=total, sum_square=total_square)
        # Kaldi keeps the number of frames behind the sums, and a zero behind their squares.
        with whole_file(ark, "wb") as handle:
            kaldiio.save_mat(handle, np.stack([np.append(total, count), np.append(total_square, 0.0)]))
    logger.info("statistics of %d frames of %s in %s and %s", count, features, npz, ark)


def _sums(archive: Archive) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of frames, their sum and the sum of their squares, both float64 of shape (dimension,)."""
    count = 0
    total = total_square = None
    for key in bar(archive, "statistics", len(archive)):
        matrix = archive[key].astype(np.float64)
        if total is None:
            total, total_square = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
        elif matrix.shape[1] != len(total):
            fault = f"has {matrix.shape[1]} values a frame for {key}, and {len(total)} for those before it"
            raise stale(archive.path, fault)
        count += len(matrix)
        total += matrix.sum(axis=0)
        total_square += np.square(matrix).sum(axis=0)
    if total is None:
        raise stale(archive.path, "names no features")
    return count, total, total_square


if __name__ == "__main__":
    program.main(compute_cmvn)
