"""The one way a model is trained: transformers.Trainer with length buckets and exact resume."""

import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.data_loader import prepare_data_loader
from torch import distributed, nn
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from salience.training.batches import LengthBuckets

logger = logging.getLogger(__name__)


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
        precision: `auto` is bf16 on a GPU that has it, float32 elsewhere.
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


class _BucketTrainer(Trainer):
    """Trainer whose batches come from LengthBuckets and whose evaluation is a function of the model."""

    def __init__(
        self, *args: Any, lengths: Sequence[int], dev_score: Callable[[nn.Module], dict[str, float]], settings: TrainingSettings,
        rates: Callable[[str], float] | None = None, **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._rates = rates
        self._lengths = lengths
        self._dev_score = dev_score

    def get_train_dataloader(self) -> DataLoader:
        sampler = LengthBuckets(
            self._lengths, self._settings.batch_size, self.args.seed, self.args.process_index, self.args.world_size
        )
        loader = DataLoader(
            self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers, pin_memory=torch.cuda.is_available(),
        )
        # The sampler has shared the batches out already.
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """The loss, such that the mean over the processes is that of the whole batch."""
        if self.args.world_size == 1:
            return super().compute_loss(model, inputs, *arguments, **options)
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
                self.optimizer = torch.optim.Adadelta(learnt, settings.learning_rate, settings.rho, settings.epsilon, settings.weight_decay)
        optimizer = super().create_optimizer(*args, **options)
        if self._rates is not None:
            _split_groups(optimizer, self.model, self._rates)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        if self._settings.schedule == "step" and self.lr_scheduler is None:
            of_step = self._settings.step_epochs * num_training_steps // self._settings.epochs
            self.lr_scheduler = torch.optim.lr_scheduler.StepLR(optimizer or self.optimizer, max(of_step, 1), self._settings.step_factor)
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
        for group in optimizer.param_groups for factor in sorted({rate[id(p)] for p in group["params"]})
    ]
    optimizer.param_groups.clear()
    for group in groups:
        optimizer.add_param_group(group)


class _LogLines(TrainerCallback):
    """One line of the log for what the trainer reports."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        shown = ", ".join(f"{k.removeprefix('eval_dev_')} {v:.4g}" for k, v in (logs or {}).items() if isinstance(v, float) and k in _SHOWN or k.startswith("eval_"))
        if shown and state.is_world_process_zero:
            logger.info("update %d of %d: %s", state.global_step, state.max_steps, shown)


class _SomeEpochs(TrainerCallback):
    """Score and keep the model after each n-th epoch, and after the last one."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch = round(state.epoch)
        if epoch % self.every and epoch < args.num_train_epochs:
            control.should_evaluate = control.should_save = False


class _Preemption(TrainerCallback):
    """On SIGTERM, which a scheduler sends before it takes the machine away: a checkpoint after this update, and the end.

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


def device_of(ngpu: int) -> str:
    """Where this process trains: each of several has the GPU of its number."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if ngpu and torch.cuda.is_available() else "cpu"


_SHOWN = ("loss", "grad_norm", "learning_rate")


def whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; later, broken ones are removed.

    The trainer writes `trainer_state.json` after everything else.
    """
    for candidate in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]), reverse=True):
        try:
            json.loads((candidate / "trainer_state.json").read_text())
            return candidate
        except (OSError, ValueError):
            logger.info("removed %s, which was not written to its end", candidate)
            # Of several processes, one does it.
            shutil.rmtree(candidate, ignore_errors=True)
    return None


def train(
    model: nn.Module,
    train_set: Dataset,
    lengths: Sequence[int],
    collate: Callable[[list[Any]], dict[str, torch.Tensor]],
    dev_score: Callable[[nn.Module], dict[str, float]],
    metric: str | None,
    greater_is_better: bool,
    folder: Path,
    settings: TrainingSettings,
    seed: int,
    ngpu: int = 0,
    rates: Callable[[str], float] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place to the weights of its best epoch on the dev set, or with no `metric` to those of the last.

    train_set is indexed by (epoch, index), `lengths` holds each index's
    frames.  dev_score(model) gives scores, among them `metric`.  rates(name of
    a parameter) is its learning rate as a multiple of the settings'.  Checkpoints
    go under `folder` after each epoch, and on SIGTERM, which ends the program;
    a call after an interruption goes on from the last whole one, with the same
    random numbers.  Returns the log: losses and dev scores with their `step`
    and `epoch`.

    Several processes under torchrun share every batch.  The model may say in
    `count` of how many things its loss is a mean, so that the shares are
    weighed; else each utterance weighs the same.
    """
    use_gpu = ngpu > 0 and torch.cuda.is_available()
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and use_gpu and torch.cuda.is_bf16_supported())
    checkpoints = folder / "checkpoints"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and use_gpu:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=max(settings.batch_size // processes, 1),
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type="constant" if settings.schedule == "step" else settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.gradient_clip,
        bf16=bf16,
        activation_checkpointing=settings.gradient_checkpointing,
        dataloader_num_workers=settings.workers,
        use_cpu=not use_gpu,
        ddp_backend="gloo" if processes > 1 and not use_gpu else None,
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=metric is not None,
        metric_for_best_model=metric,
        greater_is_better=greater_is_better,
        restore_callback_states_from_checkpoint=True,
        logging_strategy="epoch",
        report_to=["tensorboard"],
        disable_tqdm=not sys.stderr.isatty(),
        remove_unused_columns=False,
    )
    stopping = [EarlyStoppingCallback(settings.patience)] if settings.patience else []
    if settings.score_every > 1:
        stopping.insert(0, _SomeEpochs(settings.score_every))
    preemption = _Preemption()
    trainer = _BucketTrainer(
        model, arguments, train_dataset=train_set, eval_dataset=train_set, data_collator=collate,
        callbacks=[*stopping, _LogLines(), preemption], lengths=lengths, dev_score=dev_score, settings=settings, rates=rates,
    )
    # The two print each log record as a dictionary; _LogLines says it in the house's form.
    trainer.remove_callback(PrinterCallback)
    if not sys.stderr.isatty():
        trainer.remove_callback(ProgressCallback)
    resumed = whole_checkpoint(checkpoints)
    if resumed is not None:
        logger.info("going on from %s", resumed)
    try:
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    finally:
        preemption.restore()
    if processes > 1:
        # The first process removes what the others still read.
        distributed.barrier()
    return trainer.state.log_history


def remove_checkpoints(folder: Path) -> None:
    """Free the disk once the final model is in place."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
