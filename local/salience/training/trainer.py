"""The one way a model is trained: transformers.Trainer with length buckets and exact resume."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.utils.data import Dataset

from salience.models.precision import usable
from salience.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def device_of(ngpu: int) -> str:
    """Where this process trains: each of several has the GPU of its number."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if ngpu and torch.cuda.is_available() else "cpu"


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
    # Only here: they take three seconds, for which a program that finds its work done, or its input bad, need not wait.
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainingArguments

    from salience.training.bucket_trainer import BucketTrainer, LogLines, Preemption, SomeEpochs

    use_gpu = ngpu > 0 and torch.cuda.is_available()
    if settings.precision == "auto":
        bf16 = use_gpu and torch.cuda.is_bf16_supported()
    else:
        bf16 = usable(settings.precision, device_of(ngpu)) == "bf16"
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
        stopping.insert(0, SomeEpochs(settings.score_every))
    preemption = Preemption()
    trainer = BucketTrainer(
        model,
        arguments,
        train_dataset=train_set,
        eval_dataset=train_set,
        data_collator=collate,
        callbacks=[*stopping, LogLines(), preemption],
        lengths=lengths,
        dev_score=dev_score,
        settings=settings,
        rates=rates,
    )
    # The two print each log record as a dictionary; LogLines says it in the house's form.
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
