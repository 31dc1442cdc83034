"""How tests start a real scheduler on this machine, and speak to it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UTILS = HERE.parents[1] / "utils"


@dataclass
class Engine:
    """A scheduler that runs, and what one says to it."""

    submitter: str
    """Our program that submits to it."""
    backend: str
    """Its word in conf/cmd.sh."""
    environment: dict[str, str]
    """With which its own commands find it."""
    folder: Path

    def words(self, *words: object) -> list[str]:
        """The command line of the submitter."""
        return [sys.executable, str(UTILS / self.submitter), *map(str, words)]

    def run(self, *words: object, code: int = 0, **environment: str) -> str:
        """Submit and wait for the end; what was printed to stderr."""
        done = subprocess.run(
            self.words(*words), capture_output=True, text=True, timeout=600, env=self.environment | environment
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Submit and do not wait."""
        return subprocess.Popen(self.words(*words), stderr=subprocess.PIPE, text=True, env=self.environment)

    def say(self, *words: str) -> str:
        """Run one of the scheduler's own commands."""
        return subprocess.run(words, capture_output=True, text=True, timeout=30, env=self.environment).stdout

    def jobs(self) -> list[str]:
        """The numbers of all jobs that it knows, those that just ended left out."""
        listed = self.say(*(["squeue", "-h", "-o", "%A %T"] if self.backend == "slurm" else ["qstat", "-u", "*"]))
        return re.findall(r"^ *(\d+) (?!COMPLET|CANCEL|FAILED|TIMEOUT)", listed, re.MULTILINE)

    def cancel(self, job: str, task: int | None = None) -> None:
        """End a job or a task of it as its owner would, without the submitter's knowing."""
        parts = {"slurm": ["scancel", f"{job}_{task}"], "sge": ["qdel", job, "-t", str(task)]}[self.backend]
        self.say(*(parts if task else [parts[0], job]))


def running_engine(script: str, submitter: str, backend: str, programs: list[str], packages: str) -> Iterator[Engine]:
    """A scheduler from its start to its stop; skips where it cannot run."""
    if os.geteuid() != 0:
        pytest.skip(f"only root can start {packages}")
    if not all(shutil.which(program) for program in programs):
        pytest.skip(f"not installed: the Debian packages {packages}")
    # In a place that the scheduler's own user can reach, and with a short path, as names of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix=f"{backend}.", dir="/tmp"))
    try:
        # Into a file: daemons would hold a pipe open.
        with open(folder / "start.log", "w") as log:
            started = subprocess.run([HERE / script, "start", folder], stdout=log, stderr=log, timeout=120)
        assert started.returncode == 0, (folder / "start.log").read_text()
        own = dict(re.findall(r"^export (\w+)=(.*)$", (folder / "env").read_text(), re.MULTILINE))
        kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SALIENCE_ROOT", "PYTHONPATH")}
        yield Engine(submitter, backend, kept | own, folder)
    finally:
        with open(folder / "stop.log", "w") as log:
            subprocess.run([HERE / script, "stop", folder], stdout=log, stderr=log, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(what: str, condition, seconds: float = 30.0):
    """The first true answer of a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds:g} seconds")


def submitted(log: str) -> str:
    """The number under which the scheduler has a job."""
    told = r"^(?:Your job(?:-array)?|Submitted batch job) (\d+)"
    return wait_for("a number", lambda: Path(log).exists() and re.search(told, Path(log).read_text(), re.MULTILINE))[1]
