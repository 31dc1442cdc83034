"""What the tests of ESPnet's training and decoding share: a toy language that a toy recogniser learns in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
from accent_helpers import run_program, write_features

from salience.data.tables import write_table

DIMENSION = 6
SETTINGS = {
    "encoder": "rnn",
    "encoder_conf": {"num_layers": 1, "hidden_size": 12, "output_size": 12, "subsample": [2]},
    "decoder": "rnn",
    "decoder_conf": {
        "num_layers": 1,
        "hidden_size": 12,
        "att_conf": {"atype": "location", "adim": 12, "aconv_chans": 2, "aconv_filts": 5},
    },
    "model_conf": {"ctc_weight": 0.5},
    "optim": "adadelta",
    "optim_conf": {"lr": 1.0, "rho": 0.95, "eps": 1.0e-4},
    "scheduler": "epsdecay",
    "val_scheduler_criterion": ["valid", "acc"],
    "batch_size": 8,
    "grad_clip": 5.0,
    "max_epoch": 3,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 2,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}


def toy_utterance(seed: int) -> tuple[str, np.ndarray]:
    """A text of A, B, C and spaces, and features (frames, DIMENSION) in which each has its own band."""
    draw = np.random.default_rng(seed)
    words = ["".join(draw.choice(list("ABC"), size=draw.integers(1, 3))) for _ in range(draw.integers(1, 3))]
    text = " ".join(words)
    frames = []
    for character in text:
        matrix = 0.3 * draw.standard_normal((6, DIMENSION))
        matrix[1:5, " ABC".index(character)] += 3.0
        frames.append(matrix)
    return text, np.concatenate(frames).astype(np.float32)


def write_toy_recipe(folder: Path, sizes: dict[str, int] | None = None) -> None:
    """What stages 1 and 2 leave, in folder/data and folder/dump, tokens left out."""
    for number, (name, size) in enumerate((sizes or {"train": 24, "dev": 6}).items()):
        toys = {f"s-{name}{n:03d}": toy_utterance(1000 * number + n) for n in range(size)}
        write_table(folder / "data" / name / "text", {key: text for key, (text, _) in toys.items()})
        write_features(folder, name, {key: features for key, (_, features) in toys.items()})
        if number == 0:
            stacked = np.concatenate([features for _, features in toys.values()]).astype(np.float64)
            np.savez(
                folder / "dump/cmvn.npz", count=len(stacked), sum=stacked.sum(0), sum_square=np.square(stacked).sum(0)
            )


def prepare_tokens(monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """Make data/tokens of the working directory's recipe."""
    run_program(monkeypatch, "prepare_tokens", **({"text": "data/train/text", "out": "data/tokens"} | options))


def train_toy(monkeypatch: pytest.MonkeyPatch, settings: dict[str, object] | None = None, **options: object) -> None:
    """Train out of the working directory with SETTINGS, some of them changed."""
    defaults = {
        "data": "data",
        "features": "dump",
        "tokens": "data/tokens",
        "cmvn": "dump/cmvn.npz",
        "out": "exp/a b/seed1",
        "training": SETTINGS | (settings or {}),
    }
    chosen = defaults | options
    chosen["training"] = json.dumps(chosen["training"])
    run_program(monkeypatch, "train_espnet", **chosen)
