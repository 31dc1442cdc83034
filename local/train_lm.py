#!/usr/bin/env python3
"""Stage 3, by option: a language model over the recogniser's tokens, which ESPnet trains on the training text."""

import logging
from pathlib import Path
from typing import Any

from salience import program
from salience.data.tables import read_table
from salience.data.tokens import Tokenizer
from salience.errors import InputError
from salience.steps import Step, is_first_process
from salience.training.espnet import (
    LONGEST,
    check_gpus,
    keep_beside_model,
    process_settings,
    remove_checkpoints,
    token_settings,
    train,
    wait_for_all,
    write_shapes,
)

logger = logging.getLogger("train_lm")


def train_lm(
    data: Path,
    tokens: Path,
    out: Path,
    training: dict[str, Any],
    train_set: str = "train",
    dev_set: str = "dev",
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.pth (the chosen weights), config.yaml and history.json with espnet2.bin.lm_train.

    Args:
        data: Folder of the data directories.
        tokens: Folder with tokens.txt and, for subwords, bpe.model.
        out: Folder of the language model.
        training: Options of espnet2.bin.lm_train, as in its own YAML files; best given by --config.
        train_set: Set whose text is learnt.
        dev_set: Set whose text chooses the epochs.
        seed: Of weights and order.
        ngpu: GPUs to use; more than one with launch.sh, which starts a process for each.
    """
    files = {"train": data / train_set / "text", "valid": data / dev_set / "text"}
    step = Step(
        out / "step.json",
        {"training": training, "seed": seed},
        inputs=[*files.values(), tokens / "tokens.txt", tokens / "bpe.model"],
        outputs=[out / "model.pth", out / "config.yaml", out / "history.json"],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    check_gpus(ngpu)
    tokenizer = Tokenizer(tokens)
    texts = {name: read_table(path) for name, path in files.items()}
    for name, path in files.items():
        for utterance, text in texts[name].items():
            if not text:
                raise InputError(
                    f"{path} has an empty transcript for {utterance}; fix it and prepare the data again", path
                )
    tokenizer.check(texts["train"], files["train"])
    with step:
        wait_for_all()
        keep_beside_model(out, tokenizer.list, tokens / "bpe.model")
        settings: dict[str, Any] = {
            "fold_length": [LONGEST],
            **training,
            **token_settings(Tokenizer(out)),
            "seed": seed,
            **process_settings(ngpu),
        }
        for name in files:
            shapes = out / "checkpoints" / "shapes" / name
            settings[f"{name}_data_path_and_name_and_type"] = [[str(shapes / "text"), "text", "text"]]
            settings[f"{name}_shape_file"] = write_shapes(shapes, texts[name], tokenizer)
        from espnet2.bin import lm_train

        train(lm_train, settings, out)
    if is_first_process():
        remove_checkpoints(out)
    logger.info("wrote %s", out / "model.pth")


if __name__ == "__main__":
    program.main(train_lm)
