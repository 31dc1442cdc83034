"""What the tests of features, classifier, saliency, masks and Whisper share."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import whisper
from corpora_helpers import program as load_program
from whisper.model import ModelDimensions, Whisper

from salience import program
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.features.archives import ArchiveWriter
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig
from salience.models.whisper import new_model

# Tests share two cores with each other and with other programs.
torch.set_num_threads(1)

TINY = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=32,
    n_audio_head=2,
    n_audio_layer=1,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=32,
    n_text_head=2,
    n_text_layer=1,
)
"""The smallest Whisper with the full vocabulary: a forward pass takes milliseconds."""


def noise(seed: int, shape: Sequence[int] | int) -> np.ndarray:
    """Float32 standard normal noise, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def classifier(classes: int = 3, **sizes: Any) -> AccentCNN:
    """A small accent classifier with random weights, normalisation and biases, ready for inference."""
    torch.manual_seed(1)
    sizes = {"frames": 304, "channels": (4, 6, 6, 5), "hidden": 7} | sizes
    model = AccentCNN(AccentCNNConfig(classes=tuple("abcdefg"[:classes]), **sizes))
    # Default biases are near zero, which would hide what padding does.
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    model.set_normalisation(torch.linspace(-0.5, 0.5, 80), torch.linspace(0.5, 1.5, 80))
    return model.eval()


def talkative(seed: int = 0) -> Whisper:
    """A tiny Whisper with random weights whose output depends on what it hears."""
    model = new_model(TINY, seed)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "cross_attn" in name and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.6)
        elif "encoder" in name and parameter.ndim == 3:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def write_set(
    folder: Path,
    name: str,
    audio: Mapping[str, np.ndarray],
    accents: Sequence[str] = ("a", "b"),
    texts: Sequence[str] = ("one two", "three"),
    rate: int = 16000,
) -> list[Utterance]:
    """A data directory with its recordings and the share of one job, folder/data/NAME[/split1/1]."""
    utterances = []
    for number, (key, samples) in enumerate(audio.items()):
        path = folder / "audio" / f"{key}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate)
        utterances.append(
            Utterance(
                id=key,
                speaker=key.split("-")[0],
                audio=path,
                text=texts[number % len(texts)],
                duration=len(samples) / rate,
                recording=key,
                accent=accents[number % len(accents)],
            )
        )
    for place in (folder / "data" / name, folder / "data" / name / "split1" / "1"):
        write_data_dir(place, utterances)
    return utterances


def write_features(folder: Path, name: str, features: Mapping[str, np.ndarray]) -> None:
    """Archives as stage 2 leaves them, folder/dump/NAME/{feats.scp,utt2num_frames}."""
    with ArchiveWriter(folder / "dump" / name / "feats") as writer:
        for key, matrix in features.items():
            writer.write(key, matrix)
    write_table(folder / "dump" / name / "utt2num_frames", {key: str(len(matrix)) for key, matrix in features.items()})


def local_program(name: str) -> ModuleType:
    """The program local/NAME.py as a module."""
    return load_program(f"local/{name}.py")


def run_program(monkeypatch: pytest.MonkeyPatch, name: str, /, **options: object) -> None:
    """Run local/NAME.py in this process, command line and all; SystemExit is what its shell would see."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    monkeypatch.setattr(sys, "argv", [f"local/{name}.py", *words])
    program.main(getattr(local_program(name), name))


def whispers_log_mel(samples: np.ndarray, bins: int = 80) -> np.ndarray:
    """openai-whisper's own features of the signal padded to 30 s, (3000, bins)."""
    return whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(samples)), bins).numpy().T
