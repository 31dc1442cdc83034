"""Kaldi's filter banks, against kaldi-native-fbank, torchaudio and finite differences."""

import io
import json
import tarfile

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from accent_helpers import noise, run_program, write_set
from corpora_helpers import real_data
from hypothesis import given
from hypothesis import strategies as st

from salience.data.tables import read_table
from salience.features import logmel
from salience.features.fbank import BINS, INT16, fbank, fbank_of_audios, num_frames

LENGTHS = [400, 401, 559, 560, 561, 1234, 16000, 52345]
SIGNALS = ["noise", "tones", "quiet", "offset", "clipped", "AN4", "LibriSpeech", "noise_other"]


def signal(name: str, samples: int = 52345) -> np.ndarray:
    """Float32 samples with int16's range and steps, at most `samples` of them."""
    time = np.arange(samples) / 16000
    if name == "noise":
        values = 3000 * noise(1, samples)
    elif name == "tones":
        values = sum(2000 * np.sin(2 * np.pi * f * time) for f in (50, 440, 1700, 7600))
    elif name == "quiet":
        values = 2 * noise(2, samples)
    elif name == "offset":
        values = 8000 + 20 * noise(3, samples)
    elif name == "clipped":
        values = 60000 * np.sin(2 * np.pi * 220 * time)
    elif name == "AN4":
        with tarfile.open(real_data("an4.tar.xz"), "r|xz") as archive:
            first = next(member for member in archive if member.name.endswith(".wav"))
            values = soundfile.read(io.BytesIO(archive.extractfile(first).read()), frames=samples, dtype="int16")[0]
    else:
        first = min(path for path in real_data(name).rglob("*") if path.suffix in (".flac", ".wav"))
        values = soundfile.read(first, frames=samples, dtype="int16")[0]
    return np.clip(np.round(values), -32768, 32767).astype(np.float32)


def kaldis(samples: np.ndarray) -> np.ndarray:
    """kaldi-native-fbank's features, (frames, 80)."""
    knf = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = 16000
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    computer = knf.OnlineFbank(options)
    computer.accept_waveform(16000, samples.tolist())
    computer.input_finished()
    return np.array([computer.get_frame(n) for n in range(computer.num_frames_ready)])


def ours(samples: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    return fbank(torch.from_numpy(samples).to(dtype)[None])[0].numpy()


def assert_equal(features: np.ndarray, expected: np.ndarray, samples: np.ndarray) -> None:
    """Equal within 1e-3; further than 60 dB below the frame's energy, where the reference rounds, within 0.02."""
    assert features.shape == expected.shape
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::160]
    energies = np.log(400 * frames.var(axis=1, keepdims=True) + 1e-9)
    faint = expected < energies - 6 * np.log(10)
    assert not faint.all()
    np.testing.assert_allclose(features[~faint], expected[~faint], rtol=0, atol=1e-3)
    np.testing.assert_allclose(features[faint], expected[faint], rtol=0, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SIGNALS)
def test_equal_to_kaldi(name, dtype):
    samples = signal(name)
    expected = kaldis(samples)
    assert len(expected) > 90
    assert_equal(ours(samples, dtype), expected, samples)


@pytest.mark.parametrize("samples", LENGTHS)
def test_equal_to_kaldi_at_any_length(samples):
    values = signal("noise", samples)
    assert_equal(ours(values), kaldis(values), values)


@pytest.mark.parametrize("name", SIGNALS)
def test_equal_to_torchaudio(name):
    try:
        from torchaudio.compliance import kaldi
    except (ImportError, OSError) as error:
        pytest.skip(f"torchaudio cannot be imported: {error}")
    samples = signal(name)
    expected = kaldi.fbank(torch.from_numpy(samples)[None], num_mel_bins=80, dither=0.0, sample_frequency=16000.0)
    assert_equal(ours(samples), expected.numpy(), samples)


def test_the_gradient_is_that_of_finite_differences():
    samples = torch.from_numpy(signal("noise", 2 * 561).reshape(2, 561)).double().requires_grad_()
    assert fbank(samples).shape == (2, 2, BINS) and fbank(samples).dtype == torch.float64
    torch.autograd.gradcheck(fbank, (samples,), eps=1e-2, atol=1e-8, rtol=1e-5)


def test_the_gradient_at_silence_is_zero():
    samples = torch.zeros(1, 800, requires_grad=True)
    fbank(samples).sum().backward()
    np.testing.assert_array_equal(samples.grad.numpy(), 0.0)


def test_a_gradient_after_inference_mode():
    """What is kept between calls must not stay bound to the mode of the first."""
    from salience.features.fbank import _constants

    _constants.cache_clear()
    with torch.inference_mode():
        fbank(torch.zeros(1, 800))
    samples = torch.from_numpy(signal("noise", 800))[None].requires_grad_()
    fbank(samples).sum().backward()
    assert samples.grad.abs().max() > 0


def test_silence_has_kaldis_floor():
    np.testing.assert_allclose(ours(np.zeros(560, dtype=np.float32)), np.full((2, 80), np.log(2.0**-23)), rtol=1e-6)


def test_a_batch_does_not_change_its_items():
    signals = [signal("noise", n) / np.float32(INT16) for n in LENGTHS]
    for alone, together in zip(signals, fbank_of_audios(signals), strict=True):
        assert together.shape == (num_frames(len(alone)), 80) and together.dtype == np.float32
        np.testing.assert_allclose(together, ours(alone * np.float32(INT16), torch.float64), atol=1e-5)
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in signals], batch_first=True)
    for alone, together in zip(signals, fbank(batch * INT16), strict=True):
        np.testing.assert_allclose(
            together[: num_frames(len(alone))].numpy(), ours(alone * np.float32(INT16)), atol=1e-4
        )
    assert fbank_of_audios([]) == []


@given(st.integers(0, 60_000))
def test_frames_lie_inside_the_signal(samples):
    frames = num_frames(samples)
    assert frames == 0 or (frames - 1) * 160 + 400 <= samples
    assert frames * 160 + 400 > samples


@pytest.mark.parametrize("samples", [0, 399, 400, 559, 560])
def test_shape(samples):
    assert fbank(torch.zeros(3, samples)).shape == (3, num_frames(samples), BINS)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A set of four utterances, one longer than Whisper hears."""
    monkeypatch.chdir(tmp_path)
    seconds = {"s1-a": 0.5, "s1-b": 31.0, "s2-a": 0.4, "s2-b": 0.025}
    audio = {key: signal("noise", round(16000 * n)) / np.float32(INT16) for key, n in seconds.items()}
    write_set(tmp_path, "train", audio)
    return audio


def test_the_program_writes_kaldis_features(recipe, monkeypatch):
    run_program(monkeypatch, "extract_features", data="data", sets="train", out="dump", kind="fbank")
    written = kaldiio.load_scp("dump/train/feats.1.scp")
    assert set(written) == set(recipe)
    for key, samples in recipe.items():
        scaled = samples * np.float32(INT16)
        assert_equal(written[key], kaldis(scaled), scaled)
    frames = read_table("dump/train/utt2num_frames.1")
    assert frames == {"s1-a": "48", "s1-b": "3098", "s2-a": "38", "s2-b": "1"}


def test_the_kind_belongs_to_the_record(recipe, monkeypatch, tmp_path):
    """The other kind of features is not taken for done."""
    write_set(tmp_path, "dev", {"s1-a": recipe["s1-a"]})
    options = {"data": "data", "sets": "dev", "out": "dump"}
    run_program(monkeypatch, "extract_features", **options)
    (plain,) = logmel.log_mel([recipe["s1-a"]])
    np.testing.assert_allclose(kaldiio.load_scp("dump/dev/feats.1.scp")["s1-a"], plain, atol=1e-3)
    run_program(monkeypatch, "extract_features", **options, kind="fbank")
    assert json.loads((tmp_path / "dump/dev/feats.1.step.json").read_text())["config"]["kind"] == "fbank"
    assert kaldiio.load_scp("dump/dev/feats.1.scp")["s1-a"].shape == (48, 80)


def test_an_utterance_shorter_than_a_window(recipe, monkeypatch, tmp_path):
    write_set(tmp_path, "train", recipe | {"s3-a": recipe["s1-a"][:399]})
    message = (
        r"^extract_features\.py: .*s3-a\.wav: the utterance s3-a lasts 24\.9 ms, less than the window of one frame;"
        r" leave it out of the data directory$"
    )
    with pytest.raises(SystemExit, match=message):
        run_program(monkeypatch, "extract_features", data="data", sets="train", out="dump", kind="fbank")
    assert not list((tmp_path / "dump").rglob("*.ark"))
    with pytest.raises(SystemExit, match="s1-b lasts 31.0 s, over Whisper's 30"):
        run_program(monkeypatch, "extract_features", data="data", sets="train", out="dump")
