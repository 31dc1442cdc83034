#!/usr/bin/env python3
"""Stage 4: train a generator of importance maps against a frozen recogniser of commands (equation 5)."""

import logging
from pathlib import Path

import torch

from salience import program
from salience.files import write_json
from salience.models.keywords import load_recogniser
from salience.models.mask_generator import MaskGenerator, save_generator
from salience.steps import Step, is_first_process
from salience.training.keywords import (
    Augmentation,
    Draws,
    GeneratorTraining,
    ImportanceWeights,
    KeywordSet,
    NoisePieces,
    importance_scorer,
    same,
)
from salience.training.settings import TrainingSettings
from salience.training.trainer import device_of, remove_checkpoints, train

logger = logging.getLogger(Path(__file__).name)


def train_generator(
    data: Path,
    packed: Path,
    recogniser: Path,
    out: Path,
    noise: str = "noise_train",
    train_set: str = "train",
    dev_set: str = "dev",
    weights: ImportanceWeights = ImportanceWeights(),
    snr: float = -12.5,
    legacy: bool = False,
    training: TrainingSettings = TrainingSettings(),
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json and history.json.

    Kept is the epoch with the lowest equation 5 on the dev clips, with the
    same noise in every epoch.

    Args:
        data: Folder of the data directories.
        packed: Folder of the packed sets.
        recogniser: The recogniser, which stays as it is.
        out: Folder of the generator.
        noise: The packed pieces of noise.
        train_set: Training set.
        dev_set: Set that chooses the epoch.
        weights: Weights of equation 5.
        snr: Signal-to-noise ratio in dB of a batch with its noise before masking.
        legacy: Choose as the published code does: by another loss, with other noise in every epoch.
        training: Settings of the training.
        seed: Of weights, order and noise.
        ngpu: GPUs to use.
    """
    sets = [path for name in (train_set, dev_set) for path in (data / name / "text", packed / name / "step.json")]
    step = Step(
        out / "step.json",
        {"weights": weights, "snr": snr, "legacy": legacy, "training": training, "seed": seed},
        inputs=[*sets, packed / noise / "step.json", recogniser / "model.safetensors"],
        outputs=[out / name for name in ("model.safetensors", "config.json", "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    device = device_of(ngpu)
    frozen = load_recogniser(recogniser, device)
    words = tuple(frozen.config.words)
    train_clips, dev = (KeywordSet(data / name, packed / name, words, device) for name in (train_set, dev_set))
    pieces = NoisePieces(packed / noise, device)
    with step:
        torch.manual_seed(seed)
        network = GeneratorTraining(MaskGenerator(), frozen, train_clips, pieces, weights, snr).to(device)
        draws = Draws(len(train_clips), len(pieces), Augmentation(method="noise"), seed)
        history = train(
            network,
            draws,
            [1] * len(train_clips),
            same,
            importance_scorer(dev, len(pieces), training.batch_size, seed, legacy),
            "eval_dev_loss",
            False,
            out,
            training,
            seed,
            ngpu,
        )
        if not is_first_process():
            return
        save_generator(network.generator.cpu(), out)
        write_json(out / "history.json", history)
    remove_checkpoints(out)


if __name__ == "__main__":
    program.main(train_generator)
