"""One style: ruff's for all Python, and shell that passes shellcheck."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
IGNORED = {".git", ".venv", ".cache", "data", "dump", "exp", "downloads"}


def shell_scripts():
    """Every *.sh, and every script without that ending whose first line names bash or sh."""
    for path in sorted(TOP.rglob("*")):
        inside = path.relative_to(TOP)
        if IGNORED.intersection(inside.parts) or path.is_symlink() or not path.is_file():
            continue
        with open(path, "rb") as handle:
            first = handle.readline(100)
        if path.suffix == ".sh" or (first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"bash", b"sh")):
            yield str(inside)


def test_the_scripts_are_found():
    assert {"run.sh", "path.sh", ".ci/run", "utils/setup.sh", "conf/cmd.sh", "tests/run.sh"} <= set(shell_scripts())


@pytest.mark.parametrize("script", list(shell_scripts()))
def test_shellcheck(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian package shellcheck)")
    done = subprocess.run(["shellcheck", script], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids="-".join)
def test_ruff(command):
    """The settings are in pyproject.toml."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--quiet", "."], cwd=TOP, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
