"""Files that are either whole or absent."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from salience.errors import InputError


def temporary_name(path: Path) -> Path:
    """A name beside `path`, the same at every try, so that a killed run leaves one at most."""
    return path.with_name(f".{path.name}.tmp")


def publish(temporary: Path, path: Path) -> None:
    """Make a finished temporary file appear under its final name, durably."""
    with open(temporary, "rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open `path` for writing; it gets its name only if the block ends without an exception."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    encoding = None if "b" in mode else "utf-8"
    try:
        with open(temporary, mode, encoding=encoding) as handle:
            yield handle
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON that reads well in a diff."""
    with whole_file(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, or say in one sentence why that is impossible."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); remove it and run the stage that writes it again") from None
