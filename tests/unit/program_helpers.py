"""Programs of local/ in the tests' own process: a second less each than one that starts Python and imports torch."""

import contextlib
import importlib
import io
import logging
import subprocess
import sys
from pathlib import Path
from unittest import mock

from salience.program import main


def program(name: str, *options: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run a program in a folder: its exit code, and what it prints and logs."""
    stem, words = name.removesuffix(".py"), [name, *map(str, options)]
    output, errors, code = io.StringIO(), io.StringIO(), 0
    log, root = logging.StreamHandler(errors), logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", words),
        mock.patch.object(root, "handlers", [log]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main(getattr(importlib.import_module(stem), stem))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            errors.write("" if isinstance(end.code, int) else f"{end.code}\n")
        finally:
            root.setLevel(level)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())
