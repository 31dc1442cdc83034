"""Whisper's features, against openai-whisper itself."""

import numpy as np
import pytest
import soundfile
from accent_helpers import noise, whispers_log_mel
from hypothesis import given
from hypothesis import strategies as st

from salience.audio import read_audio
from salience.features.logmel import FRAMES_30S, SILENCE, floor_of, log_mel, num_frames, pad_frames

LENGTHS = [1, 2, 159, 160, 161, 199, 200, 201, 399, 400, 401, 1234, 16000, 16001, 52345, 160000, 333333]
NEAR_30S = [479_359, 479_360, 479_361, 479_520, 479_600, 479_801, 479_960, 479_961, 479_990, 479_999, 480_000]


def voice(samples: int, seed: int = 0) -> np.ndarray:
    """A swelling buzz with pauses and a little noise: loud, soft and silent frames."""
    time = np.arange(samples) / 16000
    buzz = sum(np.sin(2 * np.pi * 120 * k * time + k) / k for k in range(1, 30))
    swell = np.clip(np.sin(2 * np.pi * 1.7 * time + seed), 0, None) ** 2
    return (0.2 * buzz * swell + 1e-5 * noise(seed, samples)).astype(np.float32)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("samples", LENGTHS + NEAR_30S)
def test_equal_to_openai_whisper(samples, bins):
    for signal in (voice(samples, 1), 0.1 * noise(2, samples)):
        (ours,) = log_mel([signal], bins)
        assert ours.shape == (num_frames(samples), bins) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, whispers_log_mel(signal, bins)[: len(ours)], atol=1e-4)


def test_the_last_window_counts():
    """A click at the very end moves the last frames, and only them."""
    signal = np.zeros(16000, dtype=np.float32)
    signal[-1] = 1.0
    (ours,) = log_mel([signal])
    np.testing.assert_allclose(ours, whispers_log_mel(signal)[:100], atol=1e-4)
    assert ours[99].max() > ours[:90].max() + 1


def test_a_batch_does_not_change_its_items():
    signals = [voice(n, n) for n in LENGTHS] + [0.3 * noise(9, 480_000), np.zeros(3000, dtype=np.float32)]
    together = log_mel(signals)
    backwards = log_mel(signals[::-1])[::-1]
    for signal, one, two in zip(signals, together, backwards, strict=True):
        (alone,) = log_mel([signal])
        np.testing.assert_allclose(one, alone, atol=1e-5)
        np.testing.assert_allclose(two, alone, atol=1e-5)


def test_nothing_in_nothing_out():
    assert log_mel([]) == []


def test_silence_has_its_value():
    (silent,) = log_mel([np.zeros(1600, dtype=np.float32)])
    np.testing.assert_array_equal(silent, np.full((10, 80), SILENCE, dtype=np.float32))


@given(st.integers(1, 480_000))
def test_frames_are_counted_up(samples):
    frames = num_frames(samples)
    assert (frames - 1) * 160 < samples <= frames * 160


@pytest.mark.parametrize("samples", [1, 1000, 40_000])
@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0])
def test_padding_by_the_floor_is_whispers_padding(samples, level):
    """Features with the floor after them are Whisper's 30-second input, but for the window's tail."""
    signal = level * voice(samples, 3)
    (ours,) = log_mel([signal])
    padded = pad_frames(ours, FRAMES_30S, floor_of(ours))
    theirs = whispers_log_mel(signal)
    np.testing.assert_allclose(
        np.delete(padded, slice(len(ours), len(ours) + 2), 0),
        np.delete(theirs, slice(len(ours), len(ours) + 2), 0),
        atol=1e-4,
    )


def test_pad_frames_cuts_and_extends():
    features = noise(4, (5, 80))
    np.testing.assert_array_equal(pad_frames(features, 3, 0.0), features[:3])
    longer = pad_frames(features, 7, -1.25)
    np.testing.assert_array_equal(longer[:5], features)
    assert (longer[5:] == -1.25).all()


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("rate", [8000, 32000, 44100])
def test_rate_and_format_hardly_show(tmp_path, rate, form):
    """The same sound, stereo at another rate and in another format, gives nearly the same features."""

    def sound(at: int) -> np.ndarray:
        time = np.arange(at * 2) / at
        return sum(
            0.1 * np.sin(2 * np.pi * f * time) * (1 + np.sin(2 * np.pi * s * time))
            for f, s in ((300, 2), (900, 3), (2200, 1))
        ).astype(np.float32)

    soundfile.write(tmp_path / f"a.{form}", np.stack([sound(rate)] * 2, axis=1), rate)
    (ours,) = log_mel([read_audio(tmp_path / f"a.{form}", 16000)])
    (plain,) = log_mel([sound(16000)])
    assert abs(len(ours) - 200) <= (10 if form == "mp3" else 0)
    inside = slice(5, 190)
    # Where the sound is: within 12 dB (0.3 units) of each frame's peak.
    loud = plain[inside] > plain[inside].max(axis=1, keepdims=True) - 0.3
    assert np.abs(ours[inside] - plain[inside])[loud].mean() < 0.01
    assert np.abs(ours[inside] - plain[inside])[loud].max() < 0.15
