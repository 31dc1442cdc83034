"""bfloat16 where a processor lacks the instructions for it."""

import pytest
import torch

from salience.models.precision import usable


@pytest.mark.parametrize(
    ("precision", "device", "supported", "used"),
    [
        ("bf16", "cpu", False, "float32"),
        ("bf16", "cpu", True, "bf16"),
        ("bf16", "cuda:0", False, "bf16"),
        ("float32", "cpu", False, "float32"),
    ],
)
def test_bf16_is_not_emulated(monkeypatch, caplog, precision, device, supported, used):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert usable(precision, device) == used
    assert ("float32 is used" in caplog.text) == (used != precision)
