"""What a step did, kept beside its outputs, so that running again skips what is done.

A step is done when all its outputs exist as they were written and its record
(`step.json`) names the same configuration and the same inputs as now.  What
another step wrote and somebody cut off since is no input.
"""

import functools
import hashlib
import json
import logging
import os
import platform
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from salience.data.tables import ignore, iterate_table
from salience.errors import InputError, stale
from salience.files import files_below, read_json, visible, write_json
from salience.specifiers import parse_specifier

logger = logging.getLogger(__name__)

RECORDED_PACKAGES = ("torch", "numpy", "transformers", "espnet", "openai-whisper", "kaldiio", "soundfile", "soxr")
HASHED_UP_TO = 16 * 1024 * 1024  # bytes; larger files are known by size and modification time, as hashing takes minutes

LATER = {"later": True}
"""Metadata of an option that earlier versions did not have: a record names it unless it has its default."""


def recorded(options: Any) -> dict[str, Any]:
    """The options of a dataclass as a record names them: those with `compare`, and of LATER ones what was changed."""
    known = {option: getattr(options, option.name) for option in fields(options) if option.compare}
    return {o.name: value for o, value in known.items() if not (o.metadata.get("later") and value == o.default)}


def is_first_process() -> bool:
    """Whether this is the process of a distributed training that writes the results."""
    return os.environ.get("RANK", "0") == "0"


SHARES = re.compile(r"split\d+(utt)?")
"""Folders that split_data.sh makes in a data directory."""


def fingerprint(path: Path) -> str:
    """Identify a file by its content, a folder by its files' names and contents.

    An scp file is identified together with the archives it points into, a data
    directory without the shares that jobs take of it: another number of jobs
    changes nothing that is learnt from it.
    """
    path = Path(path)
    if path.is_dir():
        inner = ((file.relative_to(path), file) for file in files_below(path))
        return _digest(
            "", ((name, _file_identity(file)) for name, file in inner if not SHARES.fullmatch(name.parts[0]))
        )
    return _digest(_file_identity(path), ((archive, _file_identity(archive)) for archive in _archives_of(path)))


def audio_fingerprint(files: Iterable[Path]) -> str:
    """Identify recordings by path, size and modification time; reading a corpus to hash it takes too long."""
    statuses = ((file, os.stat(file) if os.path.exists(file) else None) for file in sorted(set(map(str, files))))
    return _digest("", ((file, status and (status.st_size, status.st_mtime_ns)) for file, status in statuses))


def _digest(head: str, rows: Iterable[tuple[object, object]]) -> str:
    digest = hashlib.sha256(head.encode())
    for name, identity in rows:
        digest.update(os.fsencode(f"{name} {identity}\n"))
    return digest.hexdigest()[:16]


def _file_identity(path: Path) -> str:
    # Of a pipe or a device there is no end to be hashed.
    if not os.path.isfile(path):
        return "absent"
    status = path.stat()
    if status.st_size > HASHED_UP_TO:
        return f"{status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _archives_of(path: Path) -> list[Path]:
    """The archives that an scp file points into; none for any other file."""
    if path.suffix != ".scp" or path.name == "wav.scp" or not path.exists():
        return []
    found = {parse_specifier(value).file for _, _, value in iterate_table(path, ignore) if value}
    return [Path(name) for name in sorted(found)]


def _sizes(paths: Iterable[Path]) -> dict[str, int]:
    """Bytes of files, and of the archives that an scp file among them points into."""
    found = {}
    for path in paths:
        found |= {_shown(file): file.stat().st_size for file in (path, *_archives_of(path)) if os.path.isfile(file)}
    return found


@functools.lru_cache(maxsize=1000)
def _record(path: Path, changed: int) -> dict[str, Any]:
    """A step's record, or an empty one where it cannot be read; `changed` is when it was written."""
    try:
        record = read_json(path)
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


def _records_in(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in visible(folder.glob("*step.json")):
        with suppress(FileNotFoundError):  # its step is being done
            found.append(_record(path, path.stat().st_mtime_ns))
    return found


def _written(record: Mapping[str, Any]) -> dict[str, int]:
    """The outputs a record names, with their sizes; records of earlier versions had none."""
    outputs = record.get("outputs")
    return outputs if isinstance(outputs, dict) else {}


def check_as_written(path: Path) -> None:
    """Raise InputError when a step wrote this file and it has another size now.

    An scp file stands for its archives too, and a record for all that its
    step wrote.  A file that no record names is anybody's.
    """
    path = Path(path)
    if path.name.endswith("step.json"):
        if not path.is_file():
            raise stale(path, "does not exist: its step was not finished")
        record = _record(path, path.stat().st_mtime_ns)
        for name, size in _written(record).items():
            _check_size(Path(name), size)
        return
    for file in (path, *_archives_of(path)):
        shown = _shown(file)
        for record in _records_in(file.parent):
            if shown in _written(record):
                _check_size(file, _written(record)[shown])


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise stale(path, "does not exist any more")
    if (now := path.stat().st_size) != size:
        raise stale(path, f"has {now} bytes, and {size} when it was written: it was cut off or changed")


def stage_of(path: Path) -> int | None:
    """The stage of a recipe that wrote, or would write, this file; None where nothing tells.

    The records beside it know, or those of the folders it lies in.  Otherwise
    the recipe says which stage fills which of its folders.
    """
    path = Path(_shown(Path(path)))
    folders = [folder for folder in path.parents if folder != Path(".")]
    for folder in folders:
        records = [record for record in _records_in(folder) if isinstance(record.get("stage"), int)]
        for record in sorted(records, key=lambda record: str(path) not in _written(record)):
            return int(record["stage"])
    by_folder = dict(pair.rsplit("=", 1) for pair in os.environ.get("SALIENCE_STAGES", "").split() if "=" in pair)
    for folder in (path, *folders):
        if by_folder.get(str(folder), "").isdecimal():
            return int(by_folder[str(folder)])
    return None


class Step:
    """One unit of work whose outputs are kept with a record of how they came about.

    Use as

        step = Step(folder / "step.json", config, inputs, outputs)
        if step.is_done():
            return
        with step:
            ...

    The record is written when the block ends without an exception.  Outputs
    must already be in place then, each written under a temporary name first.

    `partial` is a folder in which an interrupted run leaves what the next one
    goes on from.  What another configuration or other inputs left there is
    removed first.
    """

    def __init__(
        self,
        record: Path,
        config: Mapping[str, Any],
        inputs: Iterable[Path] = (),
        outputs: Iterable[Path] = (),
        partial: Path | None = None,
    ) -> None:
        self.record = Path(record)
        self.config = _plain(config)
        inputs = list(inputs)
        for path in inputs:
            check_as_written(path)
        self.inputs = {_shown(Path(p)): fingerprint(Path(p)) for p in inputs}
        self.outputs = [Path(p) for p in outputs]
        self.partial = partial

    def is_done(self) -> bool:
        """Whether nothing needs doing; says so, or why the step is done again."""
        reason = self._reason_to_run()
        if reason is None:
            logger.info("up to date, skipped: %s", self.record.parent)
            return True
        if reason:
            logger.info("done again, because %s: %s", reason, self.record.parent)
        return False

    def _reason_to_run(self) -> str | None:
        """None: done.  Empty: never ran.  Otherwise what changed."""
        if not self.record.exists():
            return ""
        try:
            old = read_json(self.record)
        except InputError:
            return "its record cannot be read"
        if not (isinstance(old, dict) and all(isinstance(old.get(part), dict) for part in ("config", "inputs"))):
            return "its record is invalid"
        for name, before, now in _changes(old["config"], self.config):
            return f"{name} changed from {before!r} to {now!r}"
        for name, _, _ in _changes(old["inputs"], self.inputs):
            return f"its input {name} changed"
        for output in self.outputs:
            if not output.exists():
                return f"{output} is missing"
        for name, size in _written(old).items():
            if not os.path.isfile(name) or os.path.getsize(name) != size:
                return f"{name} is not as it was written"
        return None

    def __enter__(self) -> "Step":
        # From here on the old outputs do not match any record.
        self.record.parent.mkdir(parents=True, exist_ok=True)
        if is_first_process():
            self.record.unlink(missing_ok=True)
            if self.partial is not None:
                self._claim(self.partial)
        self._started = time.monotonic()
        return self

    def _claim(self, partial: Path) -> None:
        """Keep what lies in `partial` only if the same work left it."""
        work, mark = {"config": self.config, "inputs": self.inputs}, partial / "work.json"
        with suppress(InputError):
            if read_json(mark) == work:
                return
        shutil.rmtree(partial, ignore_errors=True)
        write_json(mark, work)

    def __exit__(self, kind: type | None, value: BaseException | None, trace: object) -> None:
        # Under torchrun every process runs the step; the first one writes.
        if kind is not None or not is_first_process():
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stage = os.environ.get("SALIENCE_STAGE", "")
        write_json(
            self.record,
            {
                "command": shlex.join(sys.argv),
                "config": self.config,
                "inputs": self.inputs,
                "outputs": _sizes(self.outputs),
                "stage": int(stage) if stage.isdecimal() else None,
                "commit": commit(),
                "versions": versions(),
                "machine": machine(),
                "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(time.monotonic() - self._started, 2),
                "peak_memory_mb": round(usage.ru_maxrss / 1024),
            },
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Names whose values differ, with both values."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield name, before.get(name), now.get(name)


@functools.cache
def commit() -> str:
    """The commit the programs run from, with `+` when the working tree differs from it."""
    # Results are data: a recipe rewrites its own RESULTS while it runs, which changes no program.
    watched = [f":(top){path}" for path in ("local", "utils", "conf", "egs/*/conf", "egs/*/local", "egs/*/run.sh")]
    here = Path(__file__).parent
    found, changes = _git(here, "rev-parse", "--short=10", "HEAD"), _git(here, "status", "--porcelain", "--", *watched)
    return "unknown" if found is None or changes is None else found + ("+" if changes else "")


def last_change(path: Path) -> str:
    """The commit that last changed a file and its date, or what keeps it from being known."""
    found = _git(path.parent, "log", "-1", "--format=%cs, commit %h", "--abbrev=10", "--", path.name)
    changes = _git(path.parent, "status", "--porcelain", "--", path.name)
    if found is None or changes is None:
        return "unknown"
    return found if found and not changes else "not committed"


def _git(folder: Path, *words: str) -> str | None:
    """What git answers in a folder; None where it cannot."""
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what the results depend on."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@functools.cache
def machine() -> str:
    """This machine's processors and GPUs, as Linux names them."""
    with suppress(OSError):
        processors = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        gpus = [path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information")]
        names = Counter([*processors, *re.findall(r"^Model:\s*(.+)$", "\n".join(gpus), re.M)])
        return ", ".join(f"{number} x {' '.join(name.split())}" for name, number in names.items())
    return platform.machine()


def _shown(path: Path) -> str:
    """A path as the reader of a record wants it: relative to where the recipe runs if it is inside."""
    return os.path.relpath(path) if Path(path).resolve().is_relative_to(Path.cwd()) else str(path)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration as JSON holds it, so that a record compares equal after a round trip."""
    text = json.dumps(config, default=lambda value: asdict(value) if is_dataclass(value) else str(value))
    return dict(json.loads(text))
