"""ESPnet1's schedule for AdaDelta: epsilon shrinks when the dev accuracy falls behind its best."""

from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsValEpochStepScheduler
from espnet2.tasks import abs_task


class EpsDecay(AbsValEpochStepScheduler):
    """Multiply epsilon by `decay` after an epoch whose value does not exceed the best so far.

    In AdaDelta epsilon sets the size of the steps, so this takes the place of
    a falling learning rate.

    optimizer: any with `eps` in its parameter groups.
    restore: whether the weights of the best epoch come back as well, as
    ESPnet1 has it.  ESPnet2 saves an epoch's weights after this, so the file of
    an epoch without improvement then holds the best weights.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, decay: float = 0.01, restore: bool = False) -> None:
        if not all("eps" in group for group in optimizer.param_groups):
            raise ValueError("the scheduler epsdecay needs an optimiser with an epsilon, such as adadelta")
        self.optimizer = optimizer
        self.decay = decay
        self.restore = restore
        self.best: float | None = None
        self._weights: list[torch.Tensor] = []

    def step(self, val: float, epoch: int | None = None) -> None:
        """Take note of an epoch's value; higher is better."""
        if self.best is None or val > self.best:
            self.best = float(val)
            if self.restore:
                self._weights = [parameter.detach().clone() for parameter in self._parameters()]
            return
        for group in self.optimizer.param_groups:
            group["eps"] *= self.decay
        if self.restore:
            with torch.no_grad():
                for parameter, best in zip(self._parameters(), self._weights, strict=True):
                    parameter.copy_(best)

    def _parameters(self) -> list[torch.Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs; epsilon itself is kept by the optimiser."""
        return {"best": self.best, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.best = state["best"]
        self._weights = state["weights"]


def register() -> None:
    """Make it known to ESPnet as `scheduler: epsdecay`."""
    abs_task.scheduler_classes["epsdecay"] = EpsDecay
