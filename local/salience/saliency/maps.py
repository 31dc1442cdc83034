"""Saliency maps between their native resolution and the features'."""

import numpy as np
import torch

STRIDE = 8
"""Frames, and bins, for one point of the accent classifier's last convolution."""


def columns_for(frames: int) -> int:
    """Columns to keep of a map so that every real frame can be interpolated: one beyond the last."""
    return -(-frames // STRIDE) + 1


def stretch_map(native: np.ndarray, columns: int) -> np.ndarray:
    """Another utterance's map (columns', rows), stretched or shrunk in time to `columns`."""
    tensor = torch.tensor(native, dtype=torch.float32)[None, None]
    size = (columns, native.shape[1])
    return torch.nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def unit_map(native: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """C of equation 1: a signed native map rectified, enlarged and scaled to [0, 1].

    native: (columns, rows), covering at least `frames` frames.  The scale's
    ends are the least and greatest values over the real frames; a map without
    a positive value gives zeros.  Returns (frames, bins) float32.
    """
    positive = torch.tensor(native, dtype=torch.float32).clamp(min=0)
    size = (native.shape[0] * STRIDE, bins)
    enlarged = torch.nn.functional.interpolate(positive[None, None], size=size, mode="bilinear", align_corners=False)[
        0, 0
    ]
    enlarged = enlarged[:frames].numpy()
    least, greatest = enlarged.min(), enlarged.max()
    if greatest <= least:
        return np.zeros_like(enlarged)
    return (enlarged - least) / (greatest - least)
