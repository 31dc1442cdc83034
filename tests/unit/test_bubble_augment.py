"""Noise with holes: what it changes, and by how much."""

import numpy as np
import pytest
import torch

from salience.features.fbank import fbank
from salience.models.bubble_augment import Bubbles


@pytest.fixture
def speech():
    torch.manual_seed(0)
    # Quieter than the noise, louder than nothing.
    return fbank(20 * torch.randn(8, 400 + 160 * 99))


def test_all_but_the_bubbles_is_drowned(speech):
    torch.manual_seed(1)
    noisy, lengths = Bubbles(probability=1.0, max_bubbles=1, min_width=10, max_width=10, whole=1.0, gain=(3000, 3000))(
        speech, torch.full((8,), 100)
    )
    assert lengths.tolist() == [100] * 8
    same = torch.isclose(noisy, speech)
    for row in same:
        # One band of ten bins, from the first frame to the last.
        assert row.any(0).sum() == 10 and row[:, row.any(0)].all()
        first = int(row.any(0).nonzero()[0])
        assert row.any(0)[first : first + 10].all()
    louder = (noisy - speech)[~same].mean().item()
    assert louder == pytest.approx(2 * np.log(3000 / 20), abs=0.1)


def test_short_bubbles_lie_within_the_utterance(speech):
    torch.manual_seed(2)
    lengths = torch.tensor([100, 60] * 4)
    noisy, _ = Bubbles(probability=1.0, max_bubbles=1, whole=0.0, gain=(3000, 3000))(speech, lengths)
    same = torch.isclose(noisy, speech)
    for row, own in zip(same, lengths.tolist(), strict=True):
        assert row.any() and not row[own:].any()
    assert len({int(row.any(1).sum()) for row in same}) > 3


def test_the_level_is_that_of_noise_added_to_the_signal():
    torch.manual_seed(3)
    signal = 300 * torch.randn(4, 400 + 160 * 199)
    mixed = fbank(signal + 500 * torch.randn_like(signal))
    found, _ = Bubbles(probability=1.0, max_bubbles=1, min_width=1, max_width=1, gain=(500, 500))(fbank(signal))
    torch.testing.assert_close(found.mean((0, 1))[5:-5], mixed.mean((0, 1))[5:-5], rtol=0, atol=0.45)


def test_some_stay_clean(speech):
    torch.manual_seed(4)
    assert torch.equal(Bubbles(probability=0.0)(speech)[0], speech)
    noisy, _ = Bubbles(probability=0.5)(speech.repeat(20, 1, 1))
    clean = sum(torch.equal(a, b) for a, b in zip(noisy, speech.repeat(20, 1, 1), strict=True))
    assert 55 < clean < 105
