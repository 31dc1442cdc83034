"""What the tests of the corpora share."""

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("SALIENCE_TEST_DATA", TOP.parent / "shared" / "data"))


def real_data(name: str) -> Path:
    """A file or folder of the optional test data, or skip."""
    path = REAL / name
    if not path.exists():
        pytest.skip(f"the optional test data {path} is not here")
    return path


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Every path below `root` with size and time: equal before and after means nothing was written."""
    return {
        str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [root, *sorted(root.rglob("*"))]
    }


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@contextmanager
def deep_folders(root: Path, name: str, levels: int) -> Iterator[None]:
    """Folders in `root`, each in the one before, deeper than a path can be long; pytest could not remove them."""
    here = os.getcwd()
    os.chdir(root)
    try:
        for _ in range(levels):
            os.mkdir(name)
            os.chdir(name)
        os.chdir(here)
        yield
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", root / name], check=True)


def program(path: str) -> ModuleType:
    """A program of this checkout, imported by its path."""
    spec = importlib.util.spec_from_file_location(Path(path).stem + "_under_test", TOP / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
