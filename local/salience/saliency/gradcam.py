"""Grad-CAM (Selvaraju et al. 2017) and Grad-CAM++ (Chattopadhay et al. 2018), batched.

Only the gradient of the class scores with respect to one layer's maps is
taken: nothing before that layer is differentiated, no weight gets a gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def cam_maps(
    maps: Tensor, head: Callable[[Tensor], Tensor], classes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed Grad-CAM and Grad-CAM++ maps of a batch, from one gradient.

    maps: A, (batch, channels, height, width), the activations of the layer.
    head: what follows the layer, from A to logits (batch, classes).
    classes: the class to explain for each item; the predicted one if None.

    Grad-CAM weighs each channel by its mean gradient.  Grad-CAM++ weighs each
    point's positive gradient by alpha = g^2 / (2 g^2 + sum(A) g^3), equation 19
    there.  Neither is rectified here.  Returns the two maps, each (batch,
    height, width), and the logits.
    """
    with torch.enable_grad():
        maps = maps.detach().requires_grad_(True)
        logits = head(maps)
        chosen = logits.argmax(dim=1) if classes is None else classes
        # Items do not mix, so the gradient of the sum holds each item's own.
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), maps)
    with torch.no_grad():
        # alpha relu(g) = relu(g) / (2 + sum(A) g): g squared cancels.  Zero where the divisor is.
        positive = gradient.relu()
        divisor = (maps.sum(dim=(2, 3), keepdim=True) * positive).add_(2)
        plus_weights = positive.div_(divisor).nan_to_num_(posinf=0).sum(dim=(2, 3))
        weights = torch.stack([gradient.mean(dim=(2, 3)), plus_weights])
        gradcam, gradcam_plus = torch.einsum("bchw,kbc->kbhw", maps, weights)
    return gradcam, gradcam_plus, logits.detach()
