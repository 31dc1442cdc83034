"""How long and how fast a model is trained."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast a model learns.

    Args:
        epochs: Passes over the training set.
        batch_size: Utterances a batch, on all devices together.
        accumulate: Batches whose gradients are added before an update.
        learning_rate: Highest learning rate.
        warmup: Share of the updates over which the rate rises.
        schedule: `linear` to zero after the warm-up, `constant`, `constant_with_warmup`, `cosine`, or `step`: times
            `step_factor` after each `step_epochs` epochs.
        step_epochs: Epochs of a step.
        step_factor: What a step multiplies the rate with.
        optimizer: `adamw`, `adam` (the decay is part of the gradient) or `adadelta`.
        rho: AdaDelta's running average.
        epsilon: AdaDelta's constant under the root.
        weight_decay: Decay of the weights.
        gradient_clip: Norm to which gradients are clipped; 0 leaves them as they are.
        score_every: Epochs between two dev scores, each of which leaves a checkpoint.
        patience: Dev scores without a better one after which training stops; 0 never stops early.
        precision: `auto` is bf16 on a GPU that has it, else float32; `bf16` is float32 where it could only be emulated.
        gradient_checkpointing: Compute activations twice to save memory.
        workers: Loading processes; 0 loads in the training process.
    """

    epochs: int = 10
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-5
    warmup: float = 0.1
    schedule: str = "linear"
    step_epochs: int = 20
    step_factor: float = 0.5
    optimizer: Literal["adamw", "adam", "adadelta"] = "adamw"
    rho: float = 0.95
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    score_every: int = 1
    patience: int = 0
    precision: str = "auto"
    gradient_checkpointing: bool = False
    workers: int = 0
