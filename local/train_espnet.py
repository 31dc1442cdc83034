#!/usr/bin/env python3
"""Stage 3: a hybrid CTC/attention recogniser, or a language model for it, that ESPnet trains on our archives."""

import logging
import shutil
from pathlib import Path
from typing import Any, Literal

from salience import program
from salience.data.tokens import Tokenizer
from salience.errors import InputError
from salience.steps import Step, is_first_process
from salience.training.espnet import (
    check_gpus,
    check_start,
    check_statistics,
    complete_settings,
    parts_of_model,
    read_set,
    train,
)

logger = logging.getLogger(Path(__file__).name)


def train_espnet(
    data: Path,
    tokens: Path,
    out: Path,
    training: dict[str, Any],
    task: Literal["asr", "lm"] = "asr",
    features: Path | None = None,
    cmvn: Path | None = None,
    train_set: str = "train",
    dev_set: str = "dev",
    dev_features: Path | None = None,
    init: Path | None = None,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.pth (the chosen weights), config.yaml, history.json and, of a recogniser, att_ws.

    A killed training goes on after its last whole epoch and ends with the same
    weights.  out/cmvn.npz and the tokens in out belong to the model.

    Args:
        data: folder of the data directories
        tokens: folder with tokens.txt and, for subwords, bpe.model
        out: folder of the model
        training: options of espnet2.bin.asr_train or lm_train, as in its own YAML files; best given by --config
        task: asr for a recogniser, lm for a language model over the recogniser's tokens
        features: folder of the features that a recogniser reads
        cmvn: statistics of the features, an npz with count, sum and sum_square
        train_set: set to train on
        dev_set: set that chooses the epochs
        dev_features: folder of the dev set's features, if another one
        init: folder of a trained recogniser to start from; its sizes are kept, which the settings need not repeat, and
            so is its normalisation if they do not name another
        seed: random seed for weights and order
        ngpu: number of GPUs; more than one with launch.sh, which starts a process for each
    """
    if task == "asr" and (features is None or cmvn is None):
        raise InputError("a recogniser needs --features and --cmvn; give both")
    training = (parts_of_model(init) if init else {}) | training
    texts = {"train": data / train_set / "text", "valid": data / dev_set / "text"}
    scps = {}
    if task == "asr":
        scps = {
            "train": features / train_set / "feats.scp",
            "valid": (dev_features or features) / dev_set / "feats.scp",
        }
    step = Step(
        out / "step.json",
        {"task": task, "training": training, "seed": seed, "train_set": train_set, "dev_set": dev_set},
        inputs=[
            *texts.values(),
            *scps.values(),
            *([cmvn] if cmvn else []),
            tokens / "tokens.txt",
            tokens / "bpe.model",
            *([init / "model.pth"] if init else []),
        ],
        outputs=[out / "model.pth", out / "config.yaml", out / "history.json"],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    check_gpus(ngpu)
    sets = {name: read_set(text, scps.get(name)) for name, text in texts.items()}
    tokenizer = Tokenizer(tokens)
    tokenizer.check(sets["train"].texts, texts["train"])
    for one in sets.values():
        if cmvn:
            check_statistics(cmvn, one.features)
    if init:
        check_start(init, training, sets["train"].features.columns, tokenizer.tokens)
    with step:
        train(task, complete_settings(training, sets, out, tokens, cmvn, init, seed, ngpu), out)
    if is_first_process():
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    logger.info("wrote %s", out / "model.pth")


if __name__ == "__main__":
    program.main(train_espnet)
