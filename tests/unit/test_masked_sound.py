"""A mask as sound: what is kept stays, what is masked falls silent."""

import numpy as np
import pytest

from salience.features.logmel import log_mel
from salience.masking.sound import masked_audio

RATE = 16_000


@pytest.fixture
def tones():
    """500 Hz and 3000 Hz together for a second, whose end is no whole frame."""
    time = np.arange(RATE - 70) / RATE
    return tuple(np.float32(0.3 * np.sin(2 * np.pi * hertz * time)) for hertz in (500, 3000))


def test_a_mask_that_keeps_everything_changes_nothing(tones):
    low, high = tones
    noisy = low + high + np.random.default_rng(1).normal(0, 0.01, len(low)).astype(np.float32)
    keep = np.ones(log_mel([noisy])[0].shape, dtype=bool)
    # The transform's first bin, 0 Hz, lies under no mel filter.
    assert np.allclose(masked_audio(noisy, keep)[200:-200], noisy[200:-200], atol=2e-3)


def test_masked_bins_and_frames_fall_silent(tones):
    low, high = tones
    keep = np.ones(log_mel([low + high])[0].shape, dtype=bool)
    keep[:, 40:] = False  # from 1.9 kHz up
    assert np.allclose(masked_audio(low + high, keep)[400:-400], low[400:-400], atol=0.01)
    keep[50:] = False
    sound = masked_audio(low + high, keep)
    assert sound.shape == low.shape and sound.dtype == np.float32
    assert np.allclose(sound[400 : 50 * 160 - 400], low[400 : 50 * 160 - 400], atol=0.01)
    assert np.abs(sound[50 * 160 + 400 :]).max() < 1e-6


def test_its_features_are_low_where_the_mask_hides_them(tones):
    signal = np.random.default_rng(2).normal(0, 0.1, RATE).astype(np.float32)
    keep = np.ones((100, 80), dtype=bool)
    keep[30:70, 20:60] = False
    before, after = log_mel([signal])[0], log_mel([masked_audio(signal, keep)])[0]
    assert (before - after)[34:66, 24:56].min() > 0.4
    assert np.abs(before - after)[:26, 5:].max() < 0.05
