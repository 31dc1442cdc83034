"""Numbers of 16 bits, which not every processor can multiply."""

import logging
from typing import Literal

import torch

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bf16"]


def usable(precision: Precision, device: str) -> Precision:
    """Return `precision`, or float32 with a line in the log where bfloat16 could only be emulated.

    Measured on a processor with AVX2 alone: a product of matrices takes a
    hundred times as long in emulated bfloat16 as in float32.
    """
    if precision == "bf16" and device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        logger.warning("this processor has no instructions for bf16, so float32 is used, which is faster here")
        return "float32"
    return precision
