#!/usr/bin/env python3
"""Stage 6: fine-tune a recogniser, or train one."""

import logging
from pathlib import Path

from salience import program
from salience.files import write_json
from salience.models.recognisers import RECOGNISERS, Recogniser
from salience.registry import plugins_of
from salience.steps import Step, is_first_process
from salience.training.finetuning import FineTuning, Sets, method_of
from salience.training.settings import TrainingSettings
from salience.training.trainer import device_of, remove_checkpoints, train

logger = logging.getLogger(Path(__file__).name)


@program.chosen_by(
    "recogniser", RECOGNISERS.names, lambda name: {"recogniser": RECOGNISERS[name], "method": method_of(name)}
)
def finetune(
    recogniser: Recogniser,
    method: FineTuning,
    data: Path,
    out: Path,
    model: str,
    train_set: str,
    dev_set: str,
    features: Path | None = None,
    training: TrainingSettings = TrainingSettings(),
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write the model of the best epoch on the dev set, and history.json, into OUT.

    A killed training continues after its last whole epoch and ends with the
    same weights.

    Args:
        data: Folder of the data directories.
        out: Folder of the model.
        model: What to start from: a model, or the name of a new one.
        train_set: Set to train on.
        dev_set: Set that chooses the epoch.
        features: Folder of the features or packed signals.
        training: Settings of the training.
        seed: Random seed for new weights, order, masks and dropout.
        ngpu: GPUs to use.
    """
    sets = Sets(recogniser, data, features, train_set, dev_set)
    step = Step(
        out / "step.json",
        {"model": model, **recogniser.settings(), **method.settings(sets), "training": training, "seed": seed},
        inputs=[*recogniser.files(model), *plugins_of(type(recogniser), type(method)), *method.inputs(sets)],
        outputs=[out / name for name in (*recogniser.saved, "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    with step:
        task = method.prepare(sets, model, training.batch_size, seed, device_of(ngpu))
        history = train(
            task.network,
            task.examples,
            task.lengths,
            task.collate,
            task.dev_score,
            task.metric,
            False,
            out,
            training,
            seed,
            ngpu,
            task.rate,
        )
        task.finish(task.network)
        if is_first_process():
            recogniser.save(out)
            write_json(out / "history.json", history)
    if is_first_process():
        remove_checkpoints(out)
        logger.info("wrote %s", out / recogniser.saved[0])


if __name__ == "__main__":
    program.main(finetune)
