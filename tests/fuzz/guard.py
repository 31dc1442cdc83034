"""Judges one input: what a reader may do with it, and what it must not."""

import hashlib
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path

from targets import Target

from salience.errors import InputError

SECONDS = 5.0
"""Of CPU time; longer is a hang."""
MEMORY = 1 << 30
"""Bytes by which one input may raise the peak."""

WRITES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
    "os.mkfifo",
    "os.mknod",
}
RUNS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pickle.find_class",
    "socket.connect",
}


class Forbidden(BaseException):
    """Data had something run, unpickled, sent or written outside its folder; no reader can catch this."""


class Guard:
    """Gives one target its inputs, one after the other, and keeps the first of each kind of failure."""

    def __init__(self, name: str, target: Target, findings: Path) -> None:
        self.name, self.target, self.findings = name, target, findings
        self.counts: Counter[str] = Counter()
        self.found: dict[str, str] = {}
        self.slowest = 0.0
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.top = Path(tempfile.mkdtemp(prefix="fuzz.", dir=base))
        self.folder = self.top / "input"
        self._active = False
        sys.addaudithook(self._watch)

    def warm_up(self, seeds: list[bytes]) -> None:
        """Read the seeds unwatched: what a library does when it is first used is not the input's doing."""
        for data in seeds:
            self._empty()
            with suppress(InputError):
                self.target.read(data, self.folder)

    def _empty(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        os.chdir(self.folder)

    def _watch(self, event: str, arguments: tuple) -> None:
        if not self._active:
            return
        if event in RUNS:
            self._refuse(f"{event} {str(arguments)[:200]}")
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths = [path]
        elif event in WRITES:
            paths = [part for part in arguments[:2] if isinstance(part, (str, bytes))]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes)):
                place = os.path.abspath(os.fsdecode(path))
                if not place.startswith(f"{self.folder}/") and place != str(self.folder):
                    self._refuse(f"{event} {place}")

    def _refuse(self, what: str) -> None:
        self._active = False
        raise Forbidden(what)

    def __call__(self, data: bytes) -> None:
        self._empty()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        self._active = True
        problem = ""
        try:
            self.target.read(data, self.folder)
            self.counts["read"] += 1
        except InputError as error:
            self.counts["InputError"] += 1
            if "\n" in str(error) or len(str(error)) > 20_000:
                problem = f"not one sentence: {str(error)[:100]!r}"
        except BaseException as error:
            self._active = False
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "/salience/" in frame.filename] or frames
            problem = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}: {str(error)[:160]}"
            kind = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            self._keep(kind, problem, data)
            problem = ""
        finally:
            self._active = False
        took = time.process_time() - start
        self.slowest = max(self.slowest, took)
        if problem:
            self._keep("not one sentence", problem, data)
        if took > SECONDS:
            self._keep("hang", f"{took:.1f} s", data)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
        if grown > MEMORY:
            self._keep("memory", f"{grown / 1e6:.0f} MB", data)

    def _keep(self, kind: str, problem: str, data: bytes) -> None:
        self.counts["finding"] += 1
        if kind not in self.found:
            self.found[kind] = problem
            self.findings.mkdir(parents=True, exist_ok=True)
            name = f"{self.name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
            (self.findings / name).write_bytes(data)

    def close(self) -> None:
        """Remove what the readers wrote."""
        os.chdir("/")
        shutil.rmtree(self.top, ignore_errors=True)
