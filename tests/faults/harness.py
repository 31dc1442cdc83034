"""What the tests of faults share: copies of the project, and what a run of a recipe has left in one."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ("data", "dump", "exp")
"""What a recipe makes from its corpus."""
UNCOMPARED = re.compile(r"(^|/)(log|logs|q|runs|tensorboard|split[0-9]+)(/|$)|(^|/)\.|(^|/)events\.out\.|\.log$")
"""Logs, the work shares of jobs, and what interrupted work left to go on from: not results."""
OF_THE_RUN = re.compile(r"date|commit|command|\w+_(runtime|per_second)")
"""What results and histories say about when, how and how fast they were made."""
QUICK_WHISPERS = {"whisper_mini_fa.yaml": {"epochs": 3}}
"""The English one trains as long as a user's: after two epochs it does not recognise telephone speech yet."""


def copy_of_the_project(target: Path) -> Path:
    """The checkout without what earlier runs left; the environment and a quickly made mini Whisper are shared."""
    ignored = shutil.ignore_patterns(*FOLDERS, "downloads", "__pycache__")
    for name in ("conf", "utils", "egs"):
        shutil.copytree(TOP / name, target / name, ignore=ignored, symlinks=True)
    shutil.copytree(TOP / "local", target / "local", ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in ("path.sh", "run.sh", "requirements.txt"):
        shutil.copy2(TOP / name, target / name)
    (target / ".venv").symlink_to((TOP / ".venv").resolve())
    for name, changes in QUICK_WHISPERS.items():
        path = target / "conf" / name
        text = path.read_text()
        for setting, value in changes.items():
            text, found = re.subn(rf"\b{setting}: \d+", f"{setting}: {value}", text)
            assert found == 1, f"{path}: {setting}"
        path.write_text(text)
    return target


def work_folder(given: Path | None) -> Path:
    """The folder that the user gave, or a new one, which is printed: what went wrong can be looked at there."""
    folder = (given or Path(tempfile.mkdtemp(prefix="salience-faults-"))).resolve()
    print(f"working in {folder}", flush=True)
    return folder


QUICK = {"gsc_v2": ["--systems", "conventional importantaug"]}
"""Options with which a mini recipe has less to do, all its stages nevertheless."""


def hasten(project: Path) -> None:
    """Let all trainings of the mini recipes be of one epoch: where files matter, and not what was learnt."""
    for path in project.glob("egs/*/conf/mini/*.yaml"):
        path.write_text(re.sub(r"\bepochs: \d+", "epochs: 1", path.read_text()))


def environment() -> dict[str, str]:
    """A user's: nothing of the test runner's own set-up, but the mini Whisper of the tests made once for all.

    OMP_NUM_THREADS stays 1, as tests/conftest.py sets it: runs share the processors, where two threads of one training,
    which wait for each other, take longer than one.
    """
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SALIENCE_ROOT")}
    return {"SALIENCE_CACHE": str(TOP / ".cache/tests"), **kept}


def run(project: Path, *options: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """One run of a recipe as a user starts it."""
    return subprocess.run(
        ["./run.sh", *options], cwd=project, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def alive_in(project: Path) -> list[int]:
    """Processes that still work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and Path(os.readlink(entry / "cwd")).is_relative_to(project):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def left_by(recipe: Path) -> dict[str, str]:
    """A digest of every file that a run left below a recipe's folders, without times and logs."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((recipe / folder).rglob("*")):
            name = str(path.relative_to(recipe))
            if path.is_file() and not UNCOMPARED.search(name):
                found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What a run left otherwise than another, a line each."""
    lines = [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    lines += [f"too many: {name}" for name in sorted(found.keys() - expected.keys())]
    return lines + [
        f"differs: {name}" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]
    ]


def _content(path: Path) -> bytes:
    """A file's bytes; of results only what does not depend on when they were written."""
    content = path.read_bytes()
    if path.name.endswith("step.json"):
        return b""  # seconds, and times of the recordings: only that it is there
    if path.suffix == ".json":
        with suppress(ValueError):  # half a file is compared as it is
            return json.dumps(_timeless(json.loads(content)), sort_keys=True).encode()
    if path.name in ("RESULTS.md", "RESULTS_details.md", "report.html"):
        content = re.sub(rb"\./run\.sh --egs [^\n<`|]*", b"COMMAND", content)
        return re.sub(rb"\d{4}-\d\d-\d\d(T[0-9:]+Z?)?", b"DATE", content)
    return content


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not OF_THE_RUN.fullmatch(key)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
