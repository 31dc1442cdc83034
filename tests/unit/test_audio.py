"""Audio of every rate and format, and what is said of recordings that cannot be used."""

import numpy as np
import pytest
import soundfile
from accent_helpers import noise

from salience.audio import change_speed, read_audio
from salience.errors import InputError

RATE = 16000


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """A tone of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def level_at(samples: np.ndarray, frequency: float) -> float:
    """Amplitude of a tone in the middle half of a 16 kHz signal."""
    middle = samples[len(samples) // 4 :][: RATE // 2]
    window = np.hanning(len(middle))
    turning = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / RATE)
    return float(2 * abs((middle * window * turning).sum()) / window.sum())


def test_samples_come_back_exactly(tmp_path):
    samples = np.clip(0.2 * noise(1, 5000), -0.99, 0.99)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    read = read_audio(tmp_path / "a.wav", RATE)
    assert read.dtype == np.float32 and read.flags.c_contiguous
    np.testing.assert_array_equal(read, samples)


def test_a_segment_is_that_part(tmp_path):
    samples = np.round(noise(2, 3 * 8000).clip(-3, 3) * 8000) / 32768
    soundfile.write(tmp_path / "a.flac", samples, 8000)
    np.testing.assert_array_equal(
        read_audio(tmp_path / "a.flac", 8000, 0.5, 1.25), samples[4000:10000].astype(np.float32)
    )


def test_channels_are_averaged(tmp_path):
    left, right = noise(3, 1000) / 10, noise(4, 1000) / 10
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", RATE), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("rate", [8000, 32000, 44100])
def test_other_rates_keep_pitch_level_and_length(tmp_path, rate, form):
    stereo = np.stack([tone(440, rate), 0.5 * tone(440, rate)], axis=1)
    soundfile.write(tmp_path / f"a.{form}", stereo, rate)
    read = read_audio(tmp_path / f"a.{form}", RATE)
    assert abs(len(read) - RATE) <= (RATE // 10 if form == "mp3" else 1)
    assert level_at(read, 440) == pytest.approx(0.375, rel=0.02)
    for other in (220, 880, 1000, 3000):
        assert level_at(read, other) < 0.002


def test_what_16_khz_cannot_hold_does_not_fold_back(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(12000, 44100), 44100)
    read = read_audio(tmp_path / "a.wav", RATE)
    assert level_at(read, 4000) < 1e-3 and np.abs(read[1000:-1000]).max() < 1e-3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.wav does not exist; check the corpus root"):
        read_audio(tmp_path / "none.wav", RATE)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.8])
def test_a_truncated_file_is_refused(tmp_path, form, share):
    path = tmp_path / f"cut.{form}"
    soundfile.write(path, 0.1 * noise(5, 2 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        InputError, match=rf"cut\.{form} (is cut off|cannot be decoded).*fetch the file again"
    ) as caught:
        read_audio(path, RATE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"<html>404 not found</html>", b"RIFF" + bytes(40)])
def test_what_is_not_audio_is_refused(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.wav (is empty \(0 bytes\)|cannot be decoded)"):
        read_audio(path, RATE)


def test_a_recording_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match="a.wav holds no samples;"):
        read_audio(tmp_path / "a.wav", RATE)


def test_a_recording_that_resampling_leaves_empty_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(1), 44100)
    with pytest.raises(InputError, match="too short"):
        read_audio(tmp_path / "a.wav", 8000)


def test_a_segment_beyond_the_end_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, RATE), RATE)
    with pytest.raises(InputError, match=r"ends at 1\.00 s, before the segment's end at 2\.50 s"):
        read_audio(tmp_path / "a.wav", RATE, 0.0, 2.5)
    with pytest.raises(InputError, match="holds no samples from 1.04 s to 1.05 s"):
        read_audio(tmp_path / "a.wav", RATE, 1.04, 1.05)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_pitch_and_length(factor):
    changed = change_speed(tone(440, RATE, 2.0), RATE, factor)
    assert changed.dtype == np.float32
    assert len(changed) == pytest.approx(2 * RATE / factor, abs=2)
    assert level_at(changed, 440 * factor) == pytest.approx(0.5, rel=0.02)
