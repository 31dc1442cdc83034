"""What the tests of wav2vec 2.0 share: a model of some thousand weights, and sounds that it can learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accent_helpers import write_set

from salience.data.vocabulary import CATALAN
from salience.data.waveforms import Waveforms
from salience.files import write_lines
from salience.models.wav2vec import open_start, save_model

torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "conv_dim": (16,) * 7,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_codevectors_per_group": 16,
    "codevector_dim": 16,
    "proj_codevector_dim": 32,
    "classifier_proj_size": 16,
    "hidden_dropout": 0.1,
}


def tiny(kind, seed: int = 1, **settings: Any):
    """A new model of this kind with the tiny sizes, in training mode."""
    return open_start("random", kind, "mini", seed, **TINY | settings)


def saved(folder: Path, kind, seed: int = 1, **settings: Any) -> Path:
    """The folder of a tiny model."""
    save_model(tiny(kind, seed, **settings), folder)
    return folder


def tones(seed: int, seconds: float = 1.6, up: bool = True) -> np.ndarray:
    """Eight tones round and round, upwards or downwards, each 0.1 s: what is masked follows from what is heard."""
    rng = np.random.default_rng(seed)
    first, step = int(rng.integers(8)), 1 if up else -1
    time = np.arange(1600) / 16000
    parts = [
        np.sin(2 * np.pi * 200 * 2 ** (((first + step * n) % 8) * 0.6) * time) * (0.5 + rng.random())
        for n in range(round(seconds * 10))
    ]
    signal = np.concatenate(parts)
    return (0.3 * (signal + 0.05 * rng.standard_normal(len(signal)))).astype(np.float32)


def sounds(folder: Path, name: str, signals: Mapping[str, np.ndarray], **options: Any) -> Waveforms:
    """A data directory of these signals, folder/data/NAME."""
    write_set(folder, name, signals, **options)
    return Waveforms(folder / "data" / name)


def vocabulary(folder: Path) -> Path:
    """The Catalan tokens.txt."""
    write_lines(folder / "tokens.txt", CATALAN)
    return folder / "tokens.txt"
