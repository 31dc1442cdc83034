"""bfloat16 where a processor lacks the instructions for it."""

import pytest
import torch

from salience.models.precision import warn_of_slow_bf16


@pytest.mark.parametrize(("device", "supported", "said"), [("cpu", False, 1), ("cpu", True, 0), ("cuda:0", False, 0)])
def test_emulated_bf16_is_told(monkeypatch, caplog, device, supported, said):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    warn_of_slow_bf16.cache_clear()
    for _ in range(2):
        warn_of_slow_bf16(device)
    assert len(caplog.records) == said
