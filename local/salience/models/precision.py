"""Numbers of 16 bits, which not every processor can multiply."""

import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)


@cache
def warn_of_slow_bf16(device: str) -> None:
    """Say so, once, where bfloat16 was asked for on a processor without instructions for it: it is emulated there.

    Measured on one with AVX2 alone: a product of matrices takes a hundred
    times as long as in float32.
    """
    if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        logger.warning("this processor has no instructions for bf16: float32 is up to a hundred times as fast")


def autocast(device: str, bf16: bool) -> torch.autocast:
    """What is computed under this takes bfloat16 where it is safe, if `bf16`; `device`: cpu or cuda."""
    if bf16:
        warn_of_slow_bf16(device)
    return torch.autocast(device, torch.bfloat16, enabled=bf16)
