"""SmoothGrad (Smilkov et al. 2017): the mean gradient over noisy copies of the input."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Explained

COPIES = 25
"""Noisy copies of an utterance."""

NOISE = 0.15
"""Standard deviation of the noise, as a share of the utterance's range; the paper recommends 0.1 to 0.2."""


@METHODS.register("smoothgrad")
def smoothgrad(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Unsigned maps of the features: the magnitude of the mean gradient."""
    total = torch.zeros_like(features)
    for _ in range(COPIES):
        noisy = features.clone()
        for row, (length, rng) in enumerate(zip(lengths, rngs, strict=True)):
            real = noisy[row, :length]
            noise = torch.from_numpy(rng.standard_normal(tuple(real.shape))).to(real)
            noisy[row, :length] = real + NOISE * (real.max() - real.min()) * noise
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(model.scores(noisy.requires_grad_(True), lengths, targets).sum(), noisy)
        total += gradient
    return model.input_maps((total / COPIES).abs(), lengths, signed=False)
