"""Trainings that ESPnet carries out, in this process, from plain data in to one chosen model out."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typeguard
import yaml
from torch.serialization import safe_globals

from salience.data.normalisers import squeeze
from salience.data.tables import read_table, write_table
from salience.data.tokens import Tokenizer
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import publish, read_yaml, temporary_name, whole_file, write_json
from salience.models.checkpoints import read_pickle
from salience.models.recurrent import padded_lstm
from salience.steps import is_first_process

logger = logging.getLogger(__name__)


def _unchecked(target: Any = None, **_: Any) -> Any:
    return _unchecked if target is None else target


# ESPnet has the types of its calls checked as it runs, for which typeguard compiles hundreds of functions once more: three
# of the five seconds that an import of ESPnet takes.  Everything that imports it imports this first.
typeguard.typechecked = _unchecked

LONGEST = 2**30
"""Lengths at which ESPnet would halve a batch; our batches keep their size unless the settings say otherwise."""


def transcribed_set(data: Path, features: Path) -> tuple[dict[str, str], Archive]:
    """The transcripts and features of one set, which must speak of the same utterances.

    data: the set's data directory; features: its feats.scp.  An utterance that
    one of them lacks, and an empty transcript, are InputErrors.
    """
    texts, archive = read_table(data / "text"), Archive(features)
    for utterance in archive:
        if not texts.get(utterance, ""):
            what = "an empty transcript" if utterance in texts else "no line"
            raise InputError(
                f"{data / 'text'} has {what} for {utterance} of {features}; mend it and run stages 1 and 2 again"
            )
    for utterance in texts:
        if utterance not in archive:
            raise InputError(f"{features} has no features for {utterance} of {data / 'text'}; run stage 2 again")
    if not texts:
        raise InputError(f"{data / 'text'} is empty; run stage 1 again")
    return texts, archive


def dimension_of(archive: Archive) -> int:
    """Values a frame, from the first entry."""
    return archive[next(iter(archive))].shape[1]


def check_statistics(path: Path, dimension: int, features: Path) -> None:
    """An InputError if the statistics for normalisation are not those of features of this dimension."""
    try:
        statistics = np.load(path)
        sizes = {len(statistics["sum"]), len(statistics["sum_square"])}
        int(statistics["count"])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run stage 2") from None
    except Exception as error:
        raise InputError(
            f"{path} holds no count, sum and sum_square ({type(error).__name__}); run stage 2 again"
        ) from None
    if sizes != {dimension}:
        raise InputError(
            f"{path} is made of {max(sizes)} values a frame but {features} has {dimension}; run stage 2 again"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a finished experiment."""
    for name in ("config.yaml", "model.pth"):
        if not (folder / name).exists():
            raise InputError(f"{folder / name} does not exist; train that model first")
    # ESPnet itself would run what code is in it.
    read_pickle(folder / "model.pth", "is no model of ESPnet's, weights alone", AGAIN)
    config = read_yaml(folder / "config.yaml", AGAIN)
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.yaml'} holds no settings; {AGAIN}")
    return config


AGAIN = "train that model again"

PARTS = ("encoder", "encoder_conf", "decoder", "decoder_conf", "model_conf", "ctc_conf", "normalize", "normalize_conf")
"""The settings that make ESPnet's model what it is."""


def parts_of_model(folder: Path) -> dict[str, Any]:
    """The settings of a finished experiment that say what its model is."""
    config = read_config(folder)
    parts = {name: config[name] for name in PARTS if config.get(name) is not None}
    if parts["normalize"] == "global_mvn":
        # Its statistics are among the weights.
        del parts["normalize_conf"]
    return parts


def start_weights(folder: Path, normalize: str) -> list[str]:
    """ESPnet's `init_param` for a training from the model in `folder`, whose normalisation is `normalize`."""
    weights = str(folder / "model.pth")
    if read_config(folder)["normalize"] == normalize:
        return [weights]
    return [f"{weights}:{part}:{part}" for part in ("encoder", "decoder", "ctc")]


def check_start(folder: Path, settings: Mapping[str, Any], dimension: int, tokens: list[str]) -> None:
    """An InputError if the model in `folder` cannot be what a training with these settings starts from."""
    start = read_config(folder)
    if start["input_size"] != dimension:
        raise InputError(
            f"{folder} takes {start['input_size']} values a frame but the features have {dimension}; start from another"
            " model"
        )
    if start["token_list"] != tokens:
        raise InputError(
            f"{folder} writes other tokens than the list given; start from another model or give --tokens that it was"
            " trained with"
        )
    for part in ("encoder", "encoder_conf", "decoder", "decoder_conf"):
        wanted, there = settings.get(part, {}), start[part]
        if not _within(wanted, there):
            raise InputError(
                f"{folder} has {part} {there} but the settings ask for {wanted}; use the settings that it was trained"
                " with"
            )


def _within(wanted: Any, there: Any) -> bool:
    """Whether all that is wanted is so; ESPnet writes its defaults into a configuration as well."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return all(key in there and _within(value, there[key]) for key, value in wanted.items())
    return wanted == there


def write_shapes(
    folder: Path, texts: Mapping[str, str], tokenizer: Tokenizer, archive: Archive | None = None
) -> list[str]:
    """Write what ESPnet makes batches by: frames and dimension of features, number of tokens.

    archive: none for a language model.  Every entry must have the dimension of
    the first.  folder/text gets the transcripts for ESPnet to read, single
    spaces between words: to ESPnet itself, other white space is no white space.
    Returns the files.
    """
    files = []
    if archive is not None:
        dimension = dimension_of(archive)
        shapes = {}
        for utterance in archive:
            matrix = archive[utterance]
            if matrix.shape[1] != dimension:
                raise InputError(
                    f"{archive.path}: {utterance} has {matrix.shape[1]} values a frame, the first entry {dimension};"
                    " run stage 2 again"
                )
            shapes[utterance] = f"{len(matrix)},{dimension}"
        write_table(folder / "speech_shape", shapes)
        files.append(str(folder / "speech_shape"))
    write_table(folder / "text", {utterance: squeeze(text) for utterance, text in texts.items()})
    write_table(
        folder / "text_shape", {utterance: str(len(tokenizer.split(text))) for utterance, text in texts.items()}
    )
    return [*files, str(folder / "text_shape")]


def keep_beside_model(out: Path, *files: Path) -> None:
    """Copy into the model's folder what it needs in decoding; what is not there now is not left from before either.

    A subword model of an earlier training would otherwise decide how this one's characters are read.
    """
    for source in files:
        if not source.exists():
            (out / source.name).unlink(missing_ok=True)
            continue
        with open(source, "rb") as read, whole_file(out / source.name, "wb") as written:
            shutil.copyfileobj(read, written)


def token_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """ESPnet's settings of the tokens."""
    return {
        "token_type": "char" if tokenizer.model is None else "bpe",
        "token_list": str(tokenizer.list),
        "bpemodel": None if tokenizer.model is None else str(tokenizer.model),
    }


def check_gpus(ngpu: int) -> None:
    """An InputError if this machine has not so many GPUs, or there is not a process for each."""
    here = torch.cuda.device_count()
    if ngpu > here:
        raise InputError(f"--ngpu {ngpu} but torch finds {here or 'no'} GPU on this machine; use --ngpu {here}")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if ngpu > 1 and processes != ngpu:
        raise InputError(f"--ngpu {ngpu} needs as many processes; start the program with launch.sh {ngpu}")


def process_settings(ngpu: int) -> dict[str, Any]:
    """ESPnet's settings of its processes, which torchrun has started: each has one GPU, and all share every batch."""
    return {"ngpu": min(ngpu, 1), "multiprocessing_distributed": False, "dist_backend": "nccl" if ngpu else "gloo"}


def wait_for_all() -> None:
    """Wait until every process of this training is here; ESPnet brings them together for itself later."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Not with a process group: ESPnet's own would find the addresses of the processes of this one in torchrun's store.
        store, _, size = next(torch.distributed.rendezvous("env://"))
        if store.add("salience/here", 1) == size:
            store.set("salience/all", "")
        store.wait(["salience/all"])


def prepare_espnet() -> None:
    """What our trainings and models need of ESPnet beforehand."""
    from salience.training import bubble_augment, eps_decay

    bubble_augment.register()
    eps_decay.register()
    logging.getLogger().addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to show a record of the root logger: not ESPnet's remark on tracing, which comes with every batch."""
    return record.module != "nets_utils"


def train(module: Any, settings: Mapping[str, Any], out: Path) -> None:
    """Train with ESPnet, or go on with what lies in out/checkpoints, and choose the model.

    module: espnet2.bin.asr_train or lm_train; settings: its options, as in its
    YAML files.  Leaves out/config.yaml, out/model.pth, out/history.json and, of
    a recogniser, out/att_ws.  The model is the average of the best
    `keep_nbest_models` epochs by the first of `best_model_criterion`.
    """
    prepare_espnet()
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
    with _whole_checkpoints(), padded_lstm():
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
            checkpoints / "checkpoint.pth", "is no checkpoint of ESPnet's", f"remove {checkpoints} and train again"
        )
    return states


@contextmanager
def _whole_checkpoints() -> Iterator[None]:
    """ESPnet writes its checkpoints in place; a kill in the middle would leave half of one, from which nothing resumes."""
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
    for source, target in (("config.yaml", "config.yaml"), (chosen.name, "model.pth")):
        with open(checkpoints / source, "rb") as read, whole_file(out / target, "wb") as written:
            shutil.copyfileobj(read, written)


def history(stats: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, float]]:
    """ESPnet's record of the epochs as ours: losses, and of a recogniser its dev accuracy and error rates, in percent."""
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


def remove_checkpoints(out: Path) -> None:
    """What resuming would have needed."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
