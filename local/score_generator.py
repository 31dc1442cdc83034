#!/usr/bin/env python3
"""Stage 4: what the masks of a generator that others trained do on dev."""

import logging
from pathlib import Path

import torch

from salience import program
from salience.files import write_json
from salience.models.keywords import load_recogniser
from salience.models.mask_generator import load_generator
from salience.steps import Step
from salience.training.keywords import GeneratorTraining, ImportanceWeights, KeywordSet, NoisePieces, importance_scorer
from salience.training.settings import TrainingSettings

logger = logging.getLogger(Path(__file__).name)


def score_generator(
    data: Path,
    packed: Path,
    generator: Path,
    recogniser: Path,
    out: Path,
    noise: str = "noise_train",
    dev_set: str = "dev",
    weights: ImportanceWeights = ImportanceWeights(),
    snr: float = -12.5,
    training: TrainingSettings = TrainingSettings(),
    seed: int = 1,
) -> None:
    """Write out/history.json, with one score where a training has one an epoch.

    Equation 5, the mean of M in percent, and the errors of the recogniser in
    noise through M, as train_generator.py scores its epochs.

    Args:
        data: Folder of the data directories.
        packed: Folder of the packed sets.
        generator: Folder of the generator.
        recogniser: The recogniser that it was trained with.
        out: Folder of the score.
        noise: The packed pieces of noise.
        dev_set: Set to score on.
        weights: Weights of equation 5.
        snr: Signal-to-noise ratio in dB of a batch with its noise before masking.
        training: Settings of the generators to compare with, for the size of a batch.
        seed: Of the noise.
    """
    step = Step(
        out / "step.json",
        {"weights": weights, "snr": snr, "batch_size": training.batch_size, "seed": seed},
        inputs=[
            data / dev_set / "text",
            packed / dev_set / "step.json",
            packed / noise / "step.json",
            generator / "model.safetensors",
            recogniser / "model.safetensors",
        ],
        outputs=[out / "history.json"],
    )
    if step.is_done():
        return
    frozen = load_recogniser(recogniser)
    dev = KeywordSet(data / dev_set, packed / dev_set, tuple(frozen.config.words))
    pieces = NoisePieces(packed / noise)
    network = GeneratorTraining(load_generator(generator), frozen, dev, pieces, weights, snr)
    with step, torch.no_grad():
        scores = importance_scorer(dev, len(pieces), training.batch_size, seed)(network)
        write_json(out / "history.json", [{f"eval_{name}": value for name, value in scores.items()}])
    logger.info("equation 5 %.4f, mean of M %.1f %%, error %.1f %%", *scores.values())


if __name__ == "__main__":
    program.main(score_generator)
