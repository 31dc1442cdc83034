#!/usr/bin/env python3
"""Stage 3: the listener, a hybrid CTC/attention recogniser that ESPnet trains on our archives."""

import logging
from pathlib import Path
from typing import Any

from salience import program
from salience.data.tokens import Tokenizer
from salience.steps import Step, is_first_process
from salience.training.espnet import (
    LONGEST,
    check_gpus,
    check_start,
    check_statistics,
    dimension_of,
    keep_beside_model,
    parts_of_model,
    process_settings,
    remove_checkpoints,
    start_weights,
    token_settings,
    train,
    transcribed_set,
    wait_for_all,
    write_shapes,
)

logger = logging.getLogger("train_espnet")


def train_espnet(
    data: Path,
    features: Path,
    tokens: Path,
    cmvn: Path,
    out: Path,
    training: dict[str, Any],
    train_set: str = "train",
    dev_set: str = "dev",
    dev_features: Path | None = None,
    init: Path | None = None,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.pth (the chosen weights), config.yaml, history.json and att_ws with espnet2.bin.asr_train.

    A killed training goes on after its last whole epoch and ends with the same
    weights.  out/cmvn.npz and the tokens in out belong to the model.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        tokens: Folder with tokens.txt and, for subwords, bpe.model.
        cmvn: Statistics of the features, an npz with count, sum and sum_square.
        out: Folder of the model.
        training: Options of espnet2.bin.asr_train, as in its own YAML files; best given by --config.
        train_set: Set to learn from.
        dev_set: Set that chooses the epochs.
        dev_features: Folder of the dev set's features, if another one.
        init: Folder of a trained model to start from; its sizes are kept, which the settings need not repeat, and so
            is its normalisation if they do not name another.
        seed: Of weights and order.
        ngpu: GPUs to use; more than one with launch.sh, which starts a process for each.
    """
    if init:
        training = {**parts_of_model(init), **training}
    archives = {
        train_set: features / train_set / "feats.scp",
        dev_set: (dev_features or features) / dev_set / "feats.scp",
    }
    step = Step(
        out / "step.json",
        {"training": training, "seed": seed, "train_set": train_set, "dev_set": dev_set},
        inputs=[
            data / train_set / "text",
            data / dev_set / "text",
            *archives.values(),
            cmvn,
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
    tokenizer = Tokenizer(tokens)
    sets = {name: transcribed_set(data / name, scp) for name, scp in archives.items()}
    dimension = dimension_of(sets[train_set][1])
    check_statistics(cmvn, dimension, archives[train_set])
    check_statistics(cmvn, dimension_of(sets[dev_set][1]), archives[dev_set])
    tokenizer.check(sets[train_set][0], data / train_set / "text")
    if init:
        check_start(init, training, dimension, tokenizer.tokens)
    with step:
        wait_for_all()
        # The model stands on its own: decoding needs nothing outside its folder.
        keep_beside_model(out, cmvn, tokenizer.list, tokens / "bpe.model")
        settings: dict[str, Any] = {
            "fold_length": [LONGEST, LONGEST],
            "normalize": "global_mvn",
            **training,
            **token_settings(Tokenizer(out)),
            "seed": seed,
            **process_settings(ngpu),
            "input_size": dimension,
            "init_param": start_weights(init, training.get("normalize", "global_mvn")) if init else [],
        }
        if settings["normalize"] == "global_mvn":
            settings["normalize_conf"] = {"stats_file": str(out / cmvn.name)}
        for theirs, name in (("train", train_set), ("valid", dev_set)):
            texts, archive = sets[name]
            shapes = out / "checkpoints" / "shapes" / theirs
            settings[f"{theirs}_data_path_and_name_and_type"] = [
                [str(archives[name]), "speech", "kaldi_ark"],
                [str(shapes / "text"), "text", "text"],
            ]
            settings[f"{theirs}_shape_file"] = write_shapes(shapes, texts, tokenizer, archive)
        from espnet2.bin import asr_train

        train(asr_train, settings, out)
    if is_first_process():
        remove_checkpoints(out)
    logger.info("wrote %s", out / "model.pth")


if __name__ == "__main__":
    program.main(train_espnet)
