"""Grad-CAM (Selvaraju et al. 2017) and Grad-CAM++ (Chattopadhay et al. 2018), batched.

Only the gradient of the scores with respect to one layer's activations is
taken, once for both.  Neither is rectified here.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Explained


def gradcam_values(activations: Tensor, gradient: Tensor) -> Tensor:
    """Signed maps (batch, rows, columns): each channel weighted by its mean gradient."""
    return torch.einsum("bchw,bc->bhw", activations, gradient.mean(dim=(2, 3)))


def gradcam_plus_values(activations: Tensor, gradient: Tensor) -> Tensor:
    """Signed maps (batch, rows, columns): each point's positive gradient weighted by alpha.

    alpha = g^2 / (2 g^2 + sum(A) g^3), equation 19 there.  alpha relu(g) =
    relu(g) / (2 + sum(A) g), as g squared cancels; zero where the divisor is.
    """
    positive = gradient.relu()
    divisor = (activations.sum(dim=(2, 3), keepdim=True) * positive).add_(2)
    weights = positive.div_(divisor).nan_to_num_(posinf=0).sum(dim=(2, 3))
    return torch.einsum("bchw,bc->bhw", activations, weights)


@METHODS.register("gradcam")
def gradcam(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Grad-CAM at the layer's resolution."""
    return model.layer_maps(gradcam_values(*model.layer_gradient(features, lengths, targets)), lengths)


@METHODS.register("gradcam++")
def gradcam_plus(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Grad-CAM++ at the layer's resolution."""
    return model.layer_maps(gradcam_plus_values(*model.layer_gradient(features, lengths, targets)), lengths)
