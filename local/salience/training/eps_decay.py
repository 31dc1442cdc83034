"""ESPnet1's schedule for AdaDelta: epsilon shrinks when the dev accuracy falls behind its best."""

from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsValEpochStepScheduler
from espnet2.tasks import abs_task


class EpsDecay(AbsValEpochStepScheduler):
    """Multiply epsilon by `decay` after an epoch whose value does not exceed the best so far.

    In AdaDelta epsilon sets the size of the steps, so this takes the place of
    a falling learning rate.

    Args:
        optimizer: any with `eps` in its parameter groups
        decay: factor of epsilon
    """

    def __init__(self, optimizer: torch.optim.Optimizer, decay: float = 0.01) -> None:
        if not all("eps" in group for group in optimizer.param_groups):
            raise ValueError("the scheduler epsdecay needs an optimiser with an epsilon, such as adadelta")
        self.optimizer = optimizer
        self.decay = decay
        self.best: float | None = None

    def step(self, val: float, epoch: int | None = None) -> None:
        """Take note of an epoch's value; higher is better."""
        if self.best is None or val > self.best:
            self.best = float(val)
            return
        for group in self.optimizer.param_groups:
            group["eps"] *= self.decay

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs; epsilon itself is kept by the optimiser."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.best = state["best"]


def register() -> None:
    """Make it known to ESPnet as `scheduler: epsdecay`."""
    abs_task.scheduler_classes["epsdecay"] = EpsDecay
