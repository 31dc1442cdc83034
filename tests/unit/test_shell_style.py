"""All shell of the project passes shellcheck."""

import shutil
import subprocess
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
    # Sourced files are followed where shellcheck can find them (SC1091: where not).  Recipes also set variables
    # that their stages read by a name put together at run time (SC2034).
    excluded = "SC1091,SC2034" if script.startswith("egs/") else "SC1091"
    paths = [f"--source-path={path}" for path in ("SCRIPTDIR", "SCRIPTDIR/../..", "local", "utils")]
    command = ["shellcheck", "--external-sources", *paths, f"--exclude={excluded}", script]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
