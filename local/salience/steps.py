"""What a step did, kept beside its outputs, so that running again skips what is done.

A step is done when all its outputs exist and its record (`step.json`) names
the same configuration and the same inputs as now.
"""

import functools
import hashlib
import logging
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.files import read_json, write_json

logger = logging.getLogger(__name__)

RECORDED_PACKAGES = ("torch", "numpy", "transformers", "espnet", "openai-whisper", "kaldiio", "soundfile", "soxr")
HASHED_UP_TO = 16 * 1024 * 1024
"""Larger files are known by size and modification time: hashing a thousand hours of features takes minutes."""


def is_first_process() -> bool:
    """Whether this is the process of a distributed training that writes the results."""
    return os.environ.get("RANK", "0") == "0"


def fingerprint(path: Path) -> str:
    """Identify a file by its content, a folder by its files' names and contents.

    An scp file is identified together with the archives it points into.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
            digest.update(f"{file.relative_to(path)} {_file_identity(file)}\n".encode())
        return digest.hexdigest()[:16]
    digest.update(_file_identity(path).encode())
    if path.suffix == ".scp" and path.name != "wav.scp":
        for archive in sorted(_archives_of(path)):
            digest.update(f"{archive} {_file_identity(Path(archive))}\n".encode())
    return digest.hexdigest()[:16]


def _file_identity(path: Path) -> str:
    if not path.exists():
        return "absent"
    status = path.stat()
    if status.st_size > HASHED_UP_TO:
        return f"{status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _archives_of(scp: Path) -> set[str]:
    if not scp.exists():
        return set()
    with open(scp, encoding="utf-8", errors="replace") as lines:
        return {line.split(None, 1)[1].rsplit(":", 1)[0] for line in lines if ":" in line}


def audio_fingerprint(files: Iterable[Path]) -> str:
    """Identify recordings by path, size and modification time; reading a corpus to hash it takes too long."""
    digest = hashlib.sha256()
    for file in sorted(set(map(str, files))):
        status = os.stat(file) if os.path.exists(file) else None
        digest.update(f"{file} {status and (status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


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
        except Exception:
            return "its record cannot be read"
        for name in sorted(set(old.get("config", {})) | set(self.config)):
            before, now = old.get("config", {}).get(name), self.config.get(name)
            if before != now:
                return f"{name} changed from {before!r} to {now!r}"
        for name in sorted(set(old.get("inputs", {})) | set(self.inputs)):
            if old.get("inputs", {}).get(name) != self.inputs.get(name):
                return f"its input {name} changed"
        for output in self.outputs:
            if not output.exists():
                return f"{output} is missing"
        return None

    def __enter__(self) -> "Step":
        # From here on the old outputs do not match any record.
        self.record.parent.mkdir(parents=True, exist_ok=True)
        if os.environ.get("RANK", "0") == "0":
            self.record.unlink(missing_ok=True)
        if self.partial is not None and is_first_process():
            self._claim(self.partial)
        self._started = time.monotonic()
        return self

    def _claim(self, partial: Path) -> None:
        """Keep what lies in `partial` only if the same work left it."""
        work = {"config": self.config, "inputs": self.inputs}
        mark = partial / "work.json"
        try:
            same = read_json(mark) == work
        except InputError:
            same = False
        if not same:
            shutil.rmtree(partial, ignore_errors=True)
            write_json(mark, work)

    def __exit__(self, kind: type | None, value: BaseException | None, trace: object) -> None:
        # Under torchrun every process runs the step; the first one writes.
        if kind is not None or not is_first_process():
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        write_json(
            self.record,
            {
                "command": shlex.join(sys.argv),
                "config": self.config,
                "inputs": self.inputs,
                "outputs": [_shown(p) for p in self.outputs],
                "commit": commit(),
                "versions": versions(),
                "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(time.monotonic() - self._started, 2),
                "peak_memory_mb": round(usage.ru_maxrss / 1024),
            },
        )


@functools.cache
def commit() -> str:
    """The commit the programs run from, with `+` when the working tree differs from it."""
    here = Path(__file__).parent
    # Results are data: a recipe rewrites its own RESULTS while it runs, which changes no program.
    watched = ["--", ":(top)local", ":(top)utils", ":(top)conf", ":(top)egs/*/conf", ":(top)egs/*/local", ":(top)egs/*/run.sh"]
    try:
        name = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", *watched], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what the results depend on."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def _shown(path: Path) -> str:
    """A path as the reader of a record wants it: relative to where the recipe runs if it is inside."""
    return os.path.relpath(path) if Path(path).resolve().is_relative_to(Path.cwd()) else str(path)


def _plain(value: Any) -> Any:
    """Configuration as JSON can hold it, so that a record compares equal after a round trip."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return str(value)
