"""Integrated gradients (Sundararajan, Taly and Yan 2017): the gradient along the way from a baseline to the input.

At the end of the way alone, this is the gradient times the input (Shrikumar et al. 2016): one pass instead of 50.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Explained

STEPS = 50
"""Points of the Gauss-Legendre quadrature, captum's default."""


@METHODS.register("integrated-gradients")
def integrated_gradients(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Signed maps of the features, whose sum is the score less the baseline's."""
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    way = features - model.baseline
    total = torch.zeros_like(features)
    for point, weight in zip((1 + points) / 2, weights / 2, strict=True):
        with torch.enable_grad():
            between = (model.baseline + float(point) * way).detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(model.scores(between, lengths, targets).sum(), between)
        total += float(weight) * gradient
    return model.input_maps(total * way, lengths)


@METHODS.register("gradient-input")
def gradient_input(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Signed maps of the features: the gradient times the way from the baseline, as a log-mel's zero means nothing."""
    with torch.enable_grad():
        leaf = features.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.scores(leaf, lengths, targets).sum(), leaf)
    return model.input_maps(gradient * (features - model.baseline), lengths)
