"""Pretraining of wav2vec 2.0 in phases, each from the best epoch of the one before."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import Wav2Vec2ForPreTraining

from salience.data.waveforms import Waveforms, total_hours
from salience.files import read_json, write_json
from salience.models.wav2vec import load_trained, open_start, save_model
from salience.steps import is_first_process
from salience.training.settings import TrainingSettings
from salience.training.trainer import remove_checkpoints, train
from salience.training.wav2vec_pretraining import (
    Crops,
    Health,
    Objective,
    PretrainingUtterances,
    Wav2VecPretraining,
    collate,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """A part of the training, with sets of its own.

    Args:
        sets: Names of the sets, separated by spaces; a path stands for a set of another recipe.
        learning_rate: Highest learning rate.
        epochs: Passes over these sets.
    """

    sets: str
    learning_rate: float
    epochs: int


@dataclass(frozen=True)
class Pretraining:
    """What the phases of a pretraining share.

    Args:
        sets: Waveforms of the training sets and of the dev set, by name.
        dev_set: Set on which the model's health is measured.
        objective: What is trained.
        crops: Which part of an utterance is used.
        settings: Settings of the training; the phases have rate and epochs of their own.
        seed: Random seed for order, crops, masks and negatives.
        ngpu: GPUs to use.
    """

    sets: Mapping[str, Waveforms]
    dev_set: str
    objective: Objective
    crops: Crops
    settings: TrainingSettings
    seed: int
    ngpu: int

    def train_phase(self, number: int, phase: Phase, model: Wav2Vec2ForPreTraining, folder: Path, updates: int) -> None:
        """Train a model after `updates` updates of earlier phases; write it to `folder`, with its history.json."""
        legacy = self.objective.kind == "legacy"
        chosen = [self.sets[name] for name in phase.sets.split()]
        # Each phase counts its epochs from 0; the same crops and masks shall not come again.
        train_set = PretrainingUtterances(
            chosen, model.config, self.objective, self.crops, f"{self.seed}, phase {number}"
        )
        dev = PretrainingUtterances([self.sets[self.dev_set]], model.config, self.objective, self.crops, self.seed)
        hours, short = total_hours(chosen), self.crops.min_seconds
        logger.info(
            "%d utterances, %.2f hours; %d under %g s left out", len(train_set), hours, train_set.dropped, short
        )
        records = train(
            Wav2VecPretraining(model, self.objective, self.settings.accumulate, updates),
            train_set,
            train_set.lengths,
            partial(collate, config=model.config),
            Health(dev, self.settings.batch_size),
            None if legacy else "eval_dev_accuracy",
            True,
            folder,
            replace(self.settings, learning_rate=phase.learning_rate, epochs=phase.epochs),
            self.seed,
            self.ngpu,
        )
        if is_first_process():
            save_model(model.cpu(), folder)
            if legacy:
                [record for record in records if "eval_dev_accuracy" in record][-1]["kept"] = True
            history = [{"phase": number, "update": updates + r["step"], **r} for r in records]
            write_json(folder / "history.json", history)
            remove_checkpoints(folder)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()

    def train_phases(
        self, phases: Sequence[Phase], start: str, size: str, folder: Path, history: list[dict[str, Any]]
    ) -> tuple[Wav2Vec2ForPreTraining, list[dict[str, Any]]]:
        """Train phase after phase, each in `folder`/<number>, from where an interruption left it.

        `history` is that of an earlier part of the pretraining.  Returns the
        model of the last phase, and the history of all.
        """
        before = max((record["phase"] for record in history), default=0)
        for number, phase in enumerate(phases, before + 1):
            here = folder / str(number)
            if not (here / "history.json").exists():
                logger.info("phase %d of %d: %s", number, before + len(phases), phase)
                if number == before + 1:
                    model = open_start(start, Wav2Vec2ForPreTraining, size, self.seed)
                else:
                    model = load_trained(folder / str(number - 1), Wav2Vec2ForPreTraining).train()
                updates = max((record["update"] for record in history), default=0)
                self.train_phase(number, phase, model, here, updates)
            history = history + read_json(here / "history.json")
        return load_trained(here, Wav2Vec2ForPreTraining), history
