"""What the tests of the bubble cooperative network share: a small estimator, recordings, a recogniser of each kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accent_helpers import noise, run_program, talkative, write_features, write_set
from espnet_helpers import SETTINGS, train_toy

from salience.features.fbank import fbank_of_audios
from salience.models.keyword_network import KeywordNetwork, KeywordNetworkConfig
from salience.models.keywords import save_recogniser
from salience.models.mask_estimator import MaskEstimator, MaskEstimatorSizes
from salience.models.whisper import save_model

SMALL = MaskEstimatorSizes(
    window=128, hop=32, kernels=6, kernel_time=5, kernel_frequency=16, stride_frequency=8, hidden=10
)
OPTIONS = {
    "sizes.window": 128,
    "sizes.hop": 32,
    "sizes.kernels": 6,
    "sizes.kernel_time": 5,
    "sizes.kernel_frequency": 16,
    "sizes.stride_frequency": 8,
    "sizes.hidden": 10,
}
"""The same sizes as options of the program."""
WORDS = ("down", "left", "up")
TEXTS = ("UP", "LEFT UP")


def estimator(seed: int = 1, sizes: MaskEstimatorSizes = SMALL) -> MaskEstimator:
    """An estimator none of whose layers is neutral, biases and normalisation included, ready to estimate."""
    torch.manual_seed(seed)
    model = MaskEstimator(sizes)
    for name, weights in model.named_parameters():
        if weights.dim() == 1:
            torch.nn.init.uniform_(weights, -0.5, 0.5)
            if name.startswith("norm") and name.endswith("weight"):
                weights.data += 1.0
    for name, buffer in model.named_buffers():
        if "running" in name:
            torch.nn.init.uniform_(buffer, 0.3, 1.5)
    model.set_normalisation(torch.linspace(-1.0, 3.0, sizes.bins), torch.linspace(0.5, 2.0, sizes.bins))
    return model.eval()


def constant(logit: float, sizes: MaskEstimatorSizes = SMALL) -> MaskEstimator:
    """An estimator that gives each point of each utterance this logit."""
    model = estimator(sizes=sizes)
    torch.nn.init.zeros_(model.dense.weight)
    model.dense.bias.data = torch.tensor([0.0, logit]).repeat(sizes.bins)
    return model


def speech(seed: int, samples: int) -> np.ndarray:
    """Bursts of coloured noise between -1 and 1, (samples,)."""
    loudness = np.interp(
        np.arange(samples), np.linspace(0, samples, 12), np.random.default_rng(seed).uniform(0.02, 1.0, 12)
    )
    return (0.1 * np.convolve(noise(seed, samples), [1.0, 0.6, 0.3], "same") * loudness).clip(-1, 1).astype(np.float32)


def write_recordings(folder: Path, texts: tuple[str, ...] = TEXTS, sets: tuple[str, ...] = ("train", "dev")) -> None:
    """Data directories folder/data/SET of four utterances each, of 0.3 s to 0.5 s."""
    for number, name in enumerate(sets):
        audio = {f"s{k % 2}-{name}{k}": speech(10 * number + k, 4800 + 1111 * k) for k in range(4)}
        write_set(folder, name, dict(sorted(audio.items())), texts=texts)


def write_hybrid(folder: Path, monkeypatch: pytest.MonkeyPatch, bins: int = 80) -> Path:
    """ESPnet's hybrid of a few units, trained for one epoch on fbank of random texts; its folder."""
    from salience.data.tables import write_table

    monkeypatch.chdir(folder)
    texts = {f"s-{name}{n}": TEXTS[n % 2] for name in ("train", "dev") for n in range(4)}
    for name in ("train", "dev"):
        keys = [key for key in texts if name in key]
        matrices = fbank_of_audios([speech(n, 6000 + 700 * n) for n in range(len(keys))])
        write_features(folder, name, {key: matrix[:, :bins] for key, matrix in zip(keys, matrices, strict=True)})
        write_table(folder / "data" / name / "text", {key: texts[key] for key in keys})
        if name == "train":
            stacked = np.concatenate(matrices)[:, :bins].astype(np.float64)
            np.savez(
                folder / "dump/cmvn.npz", count=len(stacked), sum=stacked.sum(0), sum_square=np.square(stacked).sum(0)
            )
    run_program(monkeypatch, "prepare_tokens", text="data/train/text", out="data/tokens")
    masking = {"apply_time_warp": False, "freq_mask_width_range": [0, 2], "time_mask_width_range": [0, 5]}
    encoder = SETTINGS["encoder_conf"] | {"num_layers": 2, "subsample": [2, 1], "dropout": 0.2}
    changed = {
        "max_epoch": 1,
        "keep_nbest_models": 1,
        "specaug": "specaug",
        "specaug_conf": masking,
        "encoder_conf": encoder,
    }
    # ESPnet notes the paths of statistics and tokens as they were given.
    train_toy(monkeypatch, SETTINGS | changed, out=folder / "exp/hybrid")
    # After an epoch it hardly listens: larger weights make its answers depend on what it hears.
    weights = torch.load(folder / "exp/hybrid/model.pth", weights_only=True)
    torch.save(
        {name: tensor * (3 if tensor.dim() > 1 else 1) for name, tensor in weights.items()},
        folder / "exp/hybrid/model.pth",
    )
    return folder / "exp/hybrid"


def write_whisper(folder: Path) -> Path:
    """A Whisper of two small blocks with random weights; its checkpoint."""
    save_model(talkative(), folder / "whisper.pt")
    return folder / "whisper.pt"


def write_keywords(folder: Path, seed: int = 1) -> Path:
    """A recogniser of three words with random weights; its folder."""
    torch.manual_seed(seed)
    save_recogniser(
        KeywordNetwork(KeywordNetworkConfig(words=WORDS, window=128, hop=64, blocks=2)), folder / "keywords"
    )
    return folder / "keywords"
