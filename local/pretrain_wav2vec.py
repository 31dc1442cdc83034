#!/usr/bin/env python3
"""Stage 3: pretrain wav2vec 2.0 on speech without labels, in one or more phases."""

import logging
import shutil
from pathlib import Path

from salience import program
from salience.data.waveforms import Waveforms
from salience.errors import InputError
from salience.files import read_json, write_json
from salience.models.wav2vec import FILES, files_of, save_model
from salience.steps import Step, is_first_process
from salience.training.settings import TrainingSettings
from salience.training.wav2vec_phases import Phase, Pretraining
from salience.training.wav2vec_pretraining import Crops, Objective

logger = logging.getLogger(Path(__file__).name)


def pretrain_wav2vec(
    data: Path,
    out: Path,
    phases: list[Phase],
    dev_set: str,
    packed: Path | None = None,
    start: str = "random",
    continued: bool = False,
    size: str = "base",
    objective: Objective = Objective(),
    crops: Crops = Crops(),
    scaled: bool = True,
    training: TrainingSettings = TrainingSettings(warmup=0.1, batch_size=8, accumulate=2, learning_rate=8e-5),
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors and config.json in transformers' format, and history.json.

    Each phase goes on from the one before, from its epoch with the highest
    contrastive accuracy on the dev set; with the legacy objective from its
    last, as published: the highest is the least collapsed.  history.json has
    each epoch's loss, gradient norm and measures of health, with its phase.  A
    collapsed model stops the training with one sentence.

    Args:
        data: Folder of the data directories.
        out: Folder of the model.
        phases: List of sets with learning rate and epochs; best given by --config.
        dev_set: Set on which the model's health is measured; it needs no text.
        packed: Folder of the packed sets; without one the recordings are decoded each time.
        start: `random`, a folder of transformers' format, or a name on the Hugging Face hub (name@commit pins a
            version).
        continued: `start` is the folder of an earlier part of the same pretraining: its phases and updates count, for
            the temperature and the alarm, and its history comes first.
        size: Of a random start: base or mini.
        objective: What the model is trained for; kind `legacy` is the published one.
        crops: Maximum and minimum length of an utterance.
        scaled: Each utterance with zero mean and unit variance; the published code took it as it is.
        training: Settings; the phases have rate and epochs of their own.
        seed: Of weights, order, crops, masks and negatives.
        ngpu: GPUs to use.
    """
    if not phases:
        raise InputError("--phases is empty; give at least one phase with sets, learning_rate and epochs")
    names = [*(name for phase in phases for name in phase.sets.split()), dev_set]
    sets = {name: Waveforms(data / name, packed / name if packed else None, scaled) for name in names}
    earlier = [Path(start) / "history.json"] if continued else []
    step = Step(
        out / "step.json",
        {
            "phases": phases,
            "start": start,
            "continued": continued,
            "size": size,
            "objective": objective,
            "crops": crops,
            "scaled": scaled,
            "training": training,
            "seed": seed,
            "dev_set": dev_set,
            "sound": {name: waveforms.identity() for name, waveforms in sets.items()},
        },
        inputs=[path for waveforms in sets.values() for path in waveforms.inputs] + files_of(start) + earlier,
        outputs=[out / name for name in (*FILES, "history.json")],
        partial=out / "phases",
    )
    if step.is_done():
        return
    with step:
        history = [record for path in earlier for record in read_json(path)]
        shared = Pretraining(sets, dev_set, objective, crops, training, seed, ngpu)
        model, history = shared.train_phases(phases, start, size, out / "phases", history)
        if is_first_process():
            save_model(model, out)
            write_json(out / "history.json", history)
    if is_first_process():
        shutil.rmtree(out / "phases", ignore_errors=True)
        logger.info("wrote %s", out / "model.safetensors")


if __name__ == "__main__":
    program.main(pretrain_wav2vec)
