"""What salience.training.trainer makes of transformers.Trainer: batches, scores, and what happens between updates."""

import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import distributed, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from salience.progress import Pace
from salience.training.batches import LengthBuckets
from salience.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

_SHOWN = ("loss", "grad_norm", "learning_rate")


class BucketTrainer(Trainer):
    """Trainer whose batches come from LengthBuckets and whose evaluation is a function of the model."""

    def __init__(
        self,
        *args: Any,
        lengths: Sequence[int],
        dev_score: Callable[[nn.Module], dict[str, float]],
        settings: TrainingSettings,
        rates: Callable[[str], float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._rates = rates
        self._lengths = lengths
        self._dev_score = dev_score
        self._share = 1.0
        self._progress = EachMinute()
        self.add_callback(self._progress)

    def get_train_dataloader(self) -> DataLoader:
        sampler = LengthBuckets(
            self._lengths, self._settings.batch_size, self.args.seed, self.args.process_index, self.args.world_size
        )
        workers = self.args.dataloader_num_workers
        # Forked workers share the data set and need not pickle it; from Python 3.14 on, fork is no longer the default.
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        # The sampler has shared the batches out already.
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **options: Any) -> torch.Tensor:
        """Differentiate a batch, in parts if the network has a `divide_batch` that yields them; gradients add up."""
        divide = getattr(self.accelerator.unwrap_model(model), "divide_batch", None)
        # Of several processes, each has a share of the batch anyway, and all must take as many steps.
        if divide is None or self.args.world_size > 1:
            loss = super().training_step(model, inputs, *arguments, **options)
        else:
            loss, count = torch.zeros((), device=self.args.device), len(inputs["labels"])
            for part in divide(inputs):
                self._share = len(part["labels"]) / count
                loss += super().training_step(model, part, *arguments, **options)
        self._progress.add(loss)
        return loss

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """The loss, such that the mean over the processes is that of the whole batch."""
        if self.args.world_size == 1:
            return self._share * super().compute_loss(model, inputs, *arguments, **options)
        outputs = model(**inputs)
        # Of what the loss is a mean: the model says it, or else it is the utterances.
        count = outputs.get("count", len(next(iter(inputs.values()))))
        counts = torch.as_tensor([float(count)], device=self.args.device)
        distributed.all_reduce(counts)
        return outputs["loss"] * (count * self.args.world_size / counts[0])

    def create_optimizer(self, *args: Any, **options: Any) -> torch.optim.Optimizer:
        settings = self._settings
        if settings.optimizer != "adamw" and self.optimizer is None:
            learnt = [weights for weights in self.model.parameters() if weights.requires_grad]
            if settings.optimizer == "adam":
                self.optimizer = torch.optim.Adam(learnt, settings.learning_rate, weight_decay=settings.weight_decay)
            else:
                self.optimizer = torch.optim.Adadelta(
                    learnt, settings.learning_rate, settings.rho, settings.epsilon, settings.weight_decay
                )
        optimizer = super().create_optimizer(*args, **options)
        if self._rates is not None:
            _split_groups(optimizer, self.model, self._rates)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        if self._settings.schedule == "step" and self.lr_scheduler is None:
            of_step = self._settings.step_epochs * num_training_steps // self._settings.epochs
            self.lr_scheduler = torch.optim.lr_scheduler.StepLR(
                optimizer or self.optimizer, max(of_step, 1), self._settings.step_factor
            )
        return super().create_scheduler(num_training_steps, optimizer)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad():
            metrics = {f"eval_{name}": value for name, value in self._dev_score(self.model).items()}
        self.model.train()
        if self.args.world_size > 1:
            # All must agree on the best epoch and on when to stop, to the last digit.
            agreed = [metrics]
            distributed.broadcast_object_list(agreed, device=self.args.device)
            metrics = agreed[0]
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _split_groups(optimizer: torch.optim.Optimizer, model: nn.Module, rates: Callable[[str], float]) -> None:
    """Divide the optimizer's groups by how much faster or slower their parameters learn."""
    rate = {id(parameter): rates(name) for name, parameter in model.named_parameters()}
    groups = [
        {**group, "lr": group["lr"] * factor, "params": [p for p in group["params"] if rate[id(p)] == factor]}
        for group in optimizer.param_groups
        for factor in sorted({rate[id(p)] for p in group["params"]})
    ]
    optimizer.param_groups.clear()
    for group in groups:
        optimizer.add_param_group(group)


class LogLines(TrainerCallback):
    """One line of the log for what the trainer reports."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        shown = ", ".join(
            f"{k.removeprefix('eval_dev_')} {v:.4g}"
            for k, v in (logs or {}).items()
            if (isinstance(v, float) and k in _SHOWN) or k.startswith("eval_")
        )
        if shown and state.is_world_process_zero:
            logger.info("update %d of %d: %s", state.global_step, state.max_steps, shown)


class EachMinute(TrainerCallback):
    """A line of the log each minute, between those of the epochs: update, mean loss since the last line, time left."""

    def __init__(self) -> None:
        self._losses: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss of a batch."""
        self._losses.append(loss.detach())

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pace = Pace(state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **_: Any) -> None:
        if not self._pace.due() or not state.is_world_process_zero:
            return
        loss = args.gradient_accumulation_steps * torch.stack(self._losses).mean().item()
        self._losses.clear()
        rate = lr_scheduler.get_last_lr()[0]
        logger.info("update %s: loss %.4g, learning_rate %.4g", self._pace.line(state.global_step), loss, rate)


class SomeEpochs(TrainerCallback):
    """Score and keep the model after each n-th epoch, and after the last one."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch = round(state.epoch)
        if epoch % self.every and epoch < args.num_train_epochs:
            control.should_evaluate = control.should_save = False


class Preemption(TrainerCallback):
    """On SIGTERM, which a scheduler sends before it takes the machine away: save a checkpoint after this update, stop.

    The same command goes on from there, to the same weights; the loss that is
    logged for that epoch is the mean over its rest.
    """

    def __init__(self) -> None:
        self.asked = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._earlier = signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.world_size > 1:
            # The signal does not reach all processes in the same update.
            asked = torch.tensor([float(self.asked)], device=args.device)
            distributed.all_reduce(asked)
            self.asked = bool(asked)
        if self.asked:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self.asked:
            return
        if args.world_size > 1:
            # When one process has gone, torchrun ends the others.
            distributed.barrier()
        logger.info("ended by SIGTERM after update %d; the same command goes on from there", state.global_step)
        raise SystemExit(128 + signal.SIGTERM)

    def restore(self) -> None:
        """Give SIGTERM back its earlier meaning."""
        signal.signal(signal.SIGTERM, self._earlier)
