#!/usr/bin/env python3
"""Stages 3, 5 and 6: train a recogniser of commands, on clean clips or with noise, from a start or from nothing."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from salience import program
from salience.errors import InputError
from salience.features.commands import decibels
from salience.files import write_json
from salience.models.commands import build_recogniser, load_recogniser, save_recogniser
from salience.steps import Step, is_first_process
from salience.training.commands import Augmentation, CommandSet, CommandTraining, Draws, NoisePieces, read_masks, same
from salience.training.trainer import TrainingSettings, device_of, remove_checkpoints, train

logger = logging.getLogger(Path(__file__).name)

SCORING_BATCH = 256


def train_commands(
    data: Path,
    packed: Path,
    out: Path,
    kind: str = "paper",
    init: Path | None = None,
    masks: Path | None = None,
    noise: str = "noise_train",
    train_set: str = "train",
    dev_set: str = "dev",
    augmentation: Augmentation = Augmentation(),
    training: TrainingSettings = TrainingSettings(),
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json and history.json.

    Kept is the epoch with the lowest cross-entropy on clean dev clips.

    Args:
        data: Folder of the data directories; its file `words` has the words.
        packed: Folder of the packed sets.
        out: Folder of the recogniser.
        kind: `paper`, or `bc-resnet-1`, -1.5, -2, -3, -6, -8.
        init: Recogniser to start from, of the same kind; none starts anew.
        masks: The training set's mask.scp, for masks own and other.
        noise: The packed pieces of noise.
        train_set: Set to learn from.
        dev_set: Set that chooses the epoch.
        augmentation: What happens to training clips.
        training: Settings of the training.
        seed: Of weights, order and noise.
        ngpu: GPUs to use.
    """
    noisy = augmentation.method == "noise"
    masked = noisy and augmentation.masks != "none"
    if masked and masks is None:
        raise InputError(f"--augmentation.masks {augmentation.masks} needs --masks, the mask.scp of the training set")
    inputs = [path for name in (train_set, dev_set) for path in (data / name / "text", packed / name / "step.json")]
    step = Step(
        out / "step.json",
        {"kind": kind, "augmentation": augmentation, "training": training, "seed": seed},
        inputs=[
            data / "words",
            *inputs,
            *([packed / noise / "step.json"] if noisy else []),
            *([masks] if masked else []),
            *([init / "model.safetensors"] if init else []),
        ],
        outputs=[out / name for name in ("model.safetensors", "config.json", "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    device = device_of(ngpu)
    words = read_words(data / "words")
    start = load_recogniser(init).train() if init else None
    if start is not None and tuple(start.config.words) != words:
        raise InputError(f"{init} knows other words than {data / 'words'}; train the baseline on this corpus")
    if start is not None and start.config != build_recogniser(kind, words).config:
        raise InputError(f"{init} is not of the kind {kind}; give the --kind that it was trained with")
    learnt, dev = (CommandSet(data / name, packed / name, words, device) for name in (train_set, dev_set))
    with step:
        torch.manual_seed(seed)
        recogniser = start or build_recogniser(kind, words)
        pieces = NoisePieces(packed / noise, device) if noisy else None
        kept = read_masks(masks, learnt.ids, learnt.samples, augmentation.percent).to(device) if masked else None
        network = CommandTraining(recogniser, learnt, augmentation, pieces, kept).to(device)
        draws = Draws(len(learnt), len(pieces) if pieces else 1, augmentation, seed)
        history = train(
            network, draws, [1] * len(learnt), same, dev_scorer(dev), "eval_dev_loss", False, out, training, seed, ngpu
        )
        if not is_first_process():
            return
        save_recogniser(network.recogniser.cpu(), out)
        write_json(out / "history.json", history)
    remove_checkpoints(out)


def read_words(path: Path) -> tuple[str, ...]:
    """The words, one a line, in the order of the outputs."""
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run stage 1") from None


def dev_scorer(dev: CommandSet) -> Callable[[nn.Module], dict[str, float]]:
    """A function that scores a network on clean dev clips."""

    def score(network: CommandTraining) -> dict[str, float]:
        logits = torch.cat(
            [
                network.recogniser(decibels(dev.spectra(rows)))
                for rows in torch.arange(len(dev), device=dev.labels.device).split(SCORING_BATCH)
            ]
        )
        return {
            "dev_loss": nn.functional.cross_entropy(logits, dev.labels).item(),
            "dev_error": 100 * (logits.argmax(1) != dev.labels).float().mean().item(),
        }

    return score


if __name__ == "__main__":
    program.main(train_commands)
