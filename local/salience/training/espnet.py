"""Trainings that ESPnet carries out, in this process, from plain data in to one chosen model out."""

import importlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.serialization import safe_globals

from salience.data.normalisers import squeeze
from salience.data.tables import read_table, write_table
from salience.data.tokens import Tokenizer
from salience.errors import RERUN, InputError, stale
from salience.features.archives import Archive
from salience.files import foreign, publish, read_yaml, temporary_name, whole_file, write_json
from salience.models.checkpoints import read_pickle
from salience.models.espnet import AGAIN, prepare_espnet, read_config
from salience.models.recurrent import padded_lstm
from salience.progress import bar
from salience.steps import is_first_process

logger = logging.getLogger(__name__)

LONGEST = 2**30
"""Lengths at which ESPnet would halve a batch; our batches keep their size unless the settings say otherwise."""
GLOBAL = "global_mvn"
"""ESPnet's normalisation by the statistics of the training set."""
PARTS = ("encoder", "encoder_conf", "decoder", "decoder_conf", "model_conf", "ctc_conf", "normalize", "normalize_conf")
"""The settings that make ESPnet's model what it is."""


@dataclass(frozen=True)
class EspnetSet:
    """The transcripts of a set by utterance and, but for a language model, the features of the same utterances."""

    text: Path
    texts: Mapping[str, str]
    features: Archive | None = None


def read_set(text: Path, scp: Path | None = None) -> EspnetSet:
    """Read a set; an empty transcript, and an utterance without transcript or features, are InputErrors."""
    texts, archive = read_table(text), None if scp is None else Archive(scp)
    if not texts:
        raise stale(text, "is empty")
    for utterance in texts if archive is None else archive:
        if not texts.get(utterance):
            what = "an empty transcript" if utterance in texts else "no line"
            of = "" if scp is None else f" of {scp}"
            raise InputError(f"{text} has {what} for {utterance}{of}; fix it and {RERUN}", text)
    for utterance in texts:
        if archive is not None and utterance not in archive:
            raise stale(archive.path, f"has no features for {utterance} of {text}")
    return EspnetSet(text, texts, archive)


def check_statistics(path: Path, features: Archive) -> None:
    """Raise InputError unless the statistics for normalisation are of features of this dimension."""
    with foreign(path, "holds no count, sum and sum_square", RERUN, RERUN):
        statistics = np.load(path)
        sizes = {len(statistics["sum"]), len(statistics["sum_square"])}
        int(statistics["count"])
    if sizes != {features.columns}:
        raise stale(path, f"is made of {max(sizes)} values a frame but {features.path} has {features.columns}")


def parts_of_model(folder: Path) -> dict[str, Any]:
    """The settings of a finished experiment that say what its model is."""
    config = read_config(folder)
    parts = {name: config[name] for name in PARTS if config.get(name) is not None}
    if parts["normalize"] == GLOBAL:
        # Its statistics are among the weights.
        del parts["normalize_conf"]
    return parts


def check_start(folder: Path, settings: Mapping[str, Any], dimension: int, tokens: list[str]) -> None:
    """Raise InputError if a training with these settings cannot start from the model in `folder`."""
    start = read_config(folder)
    if (size := start["input_size"]) != dimension:
        raise InputError(
            f"{folder} takes {size} values a frame but the features have {dimension}; start from another model"
        )
    if start["token_list"] != tokens:
        raise InputError(
            f"{folder} has other tokens; start from another model or give the --tokens it was trained with"
        )
    for part in ("encoder", "encoder_conf", "decoder", "decoder_conf"):
        wanted, there = settings.get(part, {}), start[part]
        if not _within(wanted, there):
            raise InputError(f"{folder} has {part} {there}, not {wanted}; use the settings that it was trained with")


def _within(wanted: Any, there: Any) -> bool:
    """Whether all that is wanted is so; ESPnet writes its defaults into a configuration as well."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return all(key in there and _within(value, there[key]) for key, value in wanted.items())
    return wanted == there


def check_gpus(ngpu: int) -> None:
    """Raise InputError if this machine has fewer GPUs than requested, or there is not a process for each."""
    here = torch.cuda.device_count()
    if ngpu > here:
        raise InputError(f"--ngpu {ngpu} but torch finds {here or 'no'} GPU on this machine; use --ngpu {here}")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if ngpu > 1 and processes != ngpu:
        raise InputError(f"--ngpu {ngpu} needs as many processes; start the program with launch.sh {ngpu}")


def complete_settings(
    training: Mapping[str, Any],
    sets: Mapping[str, EspnetSet],
    out: Path,
    tokens: Path,
    cmvn: Path | None = None,
    init: Path | None = None,
    seed: int = 1,
    ngpu: int = 0,
) -> dict[str, Any]:
    """Write what ESPnet reads besides features, and complete the user's settings with where it is.

    A recogniser's folder holds all that decoding needs: the statistics and the
    tokens are copied into `out`.

    Args:
        training: the user's settings, options of ESPnet's program
        sets: `train` and `valid`
        out: folder of the model
        tokens: folder of the tokens
        cmvn: statistics of the features; None for a language model
        init: folder of the model to start from
        seed: random seed for weights and order
        ngpu: number of GPUs, each with a process of its own that torchrun has started
    """
    _wait_for_all()
    _keep_beside_model(out, *([cmvn] if cmvn else []), tokens / "tokens.txt", tokens / "bpe.model")
    tokenizer = Tokenizer(out)
    settings: dict[str, Any] = {
        "fold_length": [LONGEST] * (2 if cmvn else 1),
        **training,
        "token_type": "char" if tokenizer.model is None else "bpe",
        "token_list": str(tokenizer.list),
        "bpemodel": None if tokenizer.model is None else str(tokenizer.model),
        "seed": seed,
        "ngpu": min(ngpu, 1),
        "multiprocessing_distributed": False,
        "dist_backend": "nccl" if ngpu else "gloo",
    }
    if cmvn:
        normalize = settings.setdefault("normalize", GLOBAL)
        if normalize == GLOBAL:
            settings["normalize_conf"] = {"stats_file": str(out / cmvn.name)}
        settings["init_param"] = _start_weights(init, normalize) if init else []
        settings["input_size"] = sets["train"].features.columns
    for name, one in sets.items():
        folder = out / "checkpoints" / "shapes" / name
        speech = [] if one.features is None else [[str(one.features.path), "speech", "kaldi_ark"]]
        settings[f"{name}_data_path_and_name_and_type"] = [*speech, [str(folder / "text"), "text", "text"]]
        settings[f"{name}_shape_file"] = _write_shapes(folder, one, tokenizer)
    return settings


def _wait_for_all() -> None:
    """Wait until every process of this training is here; ESPnet brings them together for itself later."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Not with a process group: ESPnet's own would find the addresses of this one's processes in torchrun's store.
        store, _, size = next(torch.distributed.rendezvous("env://"))
        if store.add("salience/here", 1) == size:
            store.set("salience/all", "")
        store.wait(["salience/all"])


def _keep_beside_model(out: Path, *files: Path) -> None:
    """Copy files into the model's folder; one that does not exist is not left there from an earlier training either.

    A subword model of an earlier training would otherwise decide how this one's characters are read.
    """
    for source in files:
        if source.exists():
            _copy(source, out / source.name)
        else:
            (out / source.name).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as read, whole_file(target, "wb") as written:
        shutil.copyfileobj(read, written)


def _start_weights(folder: Path, normalize: str) -> list[str]:
    """ESPnet's `init_param` for a training from the model in `folder`, whose normalisation is `normalize`."""
    weights = str(folder / "model.pth")
    if read_config(folder)["normalize"] == normalize:
        return [weights]
    return [f"{weights}:{part}:{part}" for part in ("encoder", "decoder", "ctc")]


def _write_shapes(folder: Path, source: EspnetSet, tokenizer: Tokenizer) -> list[str]:
    """Write what ESPnet makes batches by: frames and dimension of features, number of tokens.

    Every entry must have the dimension of the first.  folder/text gets the
    transcripts for ESPnet to read, single spaces between words: to ESPnet
    itself, other white space is no white space.
    """
    tables = {}
    if source.features is not None:
        dimension, shapes = source.features.columns, {}
        for utterance in source.features:
            frames, columns = source.features[utterance].shape
            if columns != dimension:
                raise stale(
                    source.features.path, f"has {columns} values a frame for {utterance}, the first entry {dimension}"
                )
            shapes[utterance] = f"{frames},{dimension}"
        tables["speech_shape"] = shapes
    tables["text_shape"] = {utterance: str(len(tokenizer.split(text))) for utterance, text in source.texts.items()}
    write_table(folder / "text", {utterance: squeeze(text) for utterance, text in source.texts.items()})
    for name, table in tables.items():
        write_table(folder / name, table)
    return [str(folder / name) for name in tables]


def train(task: str, settings: Mapping[str, Any], out: Path) -> None:
    """Train with ESPnet, or go on with what lies in out/checkpoints, and choose the model.

    Leaves out/config.yaml, out/model.pth, out/history.json and, of a
    recogniser, out/att_ws.  The model is the average of the best
    `keep_nbest_models` epochs by the first of `best_model_criterion`.

    Args:
        task: `asr` or `lm`
        settings: options of ESPnet's program for it, as in its YAML files
        out: folder of the model
    """
    prepare_espnet()
    from salience.training import eps_decay

    eps_decay.register()
    module = importlib.import_module(f"espnet2.bin.{task}_train")
    known = {action.dest for action in module.get_parser()._actions}
    for name in settings:
        if name not in known:
            raise InputError(f"ESPnet has no setting {name!r} for this training; correct the settings file")
    checkpoints = out / "checkpoints"
    last_epoch = _mend(checkpoints, settings)
    config = {
        "output_dir": str(checkpoints),
        "resume": True,
        "batch_type": "folded",
        "num_workers": 0,
        "max_cache_size": 0.5,
        "use_preprocessor": True,
        **settings,
        **({"max_epoch": last_epoch} if last_epoch else {}),
    }
    with whole_file(checkpoints / "settings.yaml") as handle:
        yaml.safe_dump(config, handle, sort_keys=False)
    with _whole_checkpoints(), _progress(), padded_lstm():
        module.main(cmd=["--config", str(checkpoints / "settings.yaml")])
    if is_first_process():
        _collect(checkpoints, out)


def _mend(checkpoints: Path, settings: Mapping[str, Any]) -> int | None:
    """Write the epoch's weights that a kill between two files left out; the last epoch, if training had ended early."""
    if not (checkpoints / "checkpoint.pth").exists():
        return None
    from espnet2.train.reporter import Reporter

    states = _states(checkpoints)
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    epoch = reporter.get_epoch()
    weights = checkpoints / f"{epoch}epoch.pth"
    if not weights.exists() and is_first_process():
        torch.save(states["model"], temporary_name(weights))
        publish(temporary_name(weights), weights)
    patience = settings.get("patience")
    criterion = settings.get("early_stopping_criterion", ("valid", "loss", "min"))
    return epoch if patience is not None and reporter.check_early_stopping(patience, *criterion) else None


def _states(checkpoints: Path) -> dict[str, Any]:
    """What ESPnet left to go on from: numbers, weights and lengths of time, and no code."""
    number: tuple[Any, ...] = np.float64(0).__reduce__()  # type: ignore[assignment]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    with safe_globals([timedelta, number[0], np.dtype, *kinds]):
        states: dict[str, Any] = read_pickle(
            checkpoints / "checkpoint.pth", "is not an ESPnet checkpoint", f"remove {checkpoints} and train again"
        )
    return states


@contextmanager
def _whole_checkpoints() -> Iterator[None]:
    """ESPnet writes its checkpoints in place; a kill would leave half of one, from which nothing resumes."""
    save: Callable[..., None] = torch.save

    def save_whole(value: Any, file: Any, *arguments: Any, **options: Any) -> None:
        if not isinstance(file, (str, Path)):
            return save(value, file, *arguments, **options)
        save(value, temporary_name(Path(file)), *arguments, **options)
        publish(temporary_name(Path(file)), Path(file))

    torch.save = save_whole
    try:
        yield
    finally:
        torch.save = save


@contextmanager
def _progress() -> Iterator[None]:
    """Say once a minute where in an epoch a training is; ESPnet itself says so after every so many batches."""
    from espnet2.train.reporter import SubReporter

    measure = SubReporter.measure_iter_time

    def watched(reporter: SubReporter, iterable: Any, name: str) -> Iterator[Any]:
        return measure(reporter, bar(iterable, f"epoch {reporter.get_epoch()}, {reporter.key}: batch"), name)

    SubReporter.measure_iter_time = watched
    try:
        yield
    finally:
        SubReporter.measure_iter_time = measure


def _collect(checkpoints: Path, out: Path) -> None:
    """Move what is kept of a finished training to its place."""
    config = read_yaml(checkpoints / "config.yaml", AGAIN)
    phase, value, _ = config["best_model_criterion"][0]
    chosen = checkpoints / f"{phase}.{value}.ave.pth"
    if not chosen.exists():
        raise InputError(
            f"ESPnet chose no model by {phase} {value}; name in best_model_criterion a value that its log shows"
        )
    if (checkpoints / "att_ws").exists():
        shutil.rmtree(out / "att_ws", ignore_errors=True)
        shutil.move(checkpoints / "att_ws", out / "att_ws")
    states = _states(checkpoints)
    write_json(out / "history.json", history(states["reporter"]["stats"]))
    _copy(checkpoints / "config.yaml", out / "config.yaml")
    _copy(chosen, out / "model.pth")


def history(stats: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, float]]:
    """ESPnet's record of the epochs as ours: losses, and a recogniser's dev accuracy and error rates in percent."""
    epochs = []
    for epoch, phases in stats.items():
        seconds = sum(phase["time"].total_seconds() for phase in phases.values() if "time" in phase)
        entry = {"epoch": epoch, "train_loss": phases["train"]["loss"], "dev_loss": phases["valid"]["loss"]}
        for ours, theirs in (("dev_acc", "acc"), ("dev_cer_ctc", "cer_ctc")):
            if theirs in phases["valid"]:
                entry[ours] = 100 * phases["valid"][theirs]
        epochs.append(
            {key: float(value) for key, value in entry.items()} | {"epoch": epoch, "seconds": round(seconds, 1)}
        )
    return epochs
