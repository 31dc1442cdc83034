"""Files that are either whole or absent."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from salience.errors import RERUN, InputError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that there is no room on a disk."""

MAX_YAML = 1_000_000  # values in a YAML file; with aliases of aliases, a few lines can stand for billions


def temporary_name(path: Path) -> Path:
    """A name beside `path`, the same at every try, so that a killed run leaves one at most.

    Processes that train together may write the same file at the same time.
    """
    rank = os.environ.get("RANK", "0")
    return path.with_name(f".{path.name}.tmp" if rank == "0" else f".{path.name}.{rank}.tmp")


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
        with room_for(path):
            with open(temporary, mode, encoding=encoding) as handle:
                yield handle
            publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Add `path` to disk-full errors: what fails to write does not know its own name."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            error.filename = str(path)
        raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text, whole or not at all."""
    with whole_file(path) as handle:
        handle.writelines(f"{line}\n" for line in lines)


def read_lines(path: Path, written_by: str) -> list[str]:
    """The lines of a text file that a program of ours wrote; other bytes are an InputError."""
    with foreign(path, "is not UTF-8", f"write it with {written_by}", RERUN):
        return Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON that reads well in a diff."""
    with whole_file(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, or say in one sentence why that is impossible."""
    with foreign(path, "is not JSON", f"remove it and {RERUN}", RERUN):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def read_yaml(path: Path, remedy: str) -> Any:
    """Read a YAML file of plain values, or say in one sentence why that is impossible."""
    # Imported here: the tools of utils/ need nothing but Python.
    import yaml

    with foreign(path, "is not YAML", remedy, remedy):
        text = Path(path).read_text(encoding="utf-8")
        if _yaml_values(yaml.compose(text, yaml.SafeLoader), {}) > MAX_YAML:
            raise InputError(f"{path} stands for more than {MAX_YAML} values, because of its aliases; {remedy}")
        return yaml.safe_load(text)


def _yaml_values(node: Any, known: dict[int, int]) -> int:
    """Values of a node when every alias in it is written out; one that holds itself has more than any number."""
    if node is None or isinstance(node.value, str):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_YAML + 1
        children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_yaml_values(child, known) for child in children)
    return known[id(node)]


@contextmanager
def foreign(path: Path, fault: str, remedy: str, absent: str = "check the path") -> Iterator[None]:
    """Read what others wrote: whatever a parser makes of the bytes of `path` is one sentence.

    The parsers are other people's and the bytes may be anything, so any
    exception but one of the disk being full is an InputError that says
    `fault` ("is not JSON") and `remedy`; `absent` is the remedy for a file
    that is not there.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {absent}", path) from None
    except Exception as error:
        # A name that does not exist is a bug of ours, whatever the bytes are.
        if isinstance(error, NameError) or (isinstance(error, OSError) and error.errno in FULL):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}", path) from None
        # Some parsers quote what they stumbled on, over several lines.
        words = " ".join(str(error).split())[:200]
        said = f"{type(error).__name__}{': ' if words else ''}{words}"
        raise InputError(f"{path} {fault} ({said}); {remedy}", path) from None


def visible(paths: Iterable[Path]) -> list[Path]:
    """Sort paths and drop hidden ones: macOS leaves a `._a.wav` beside an `a.wav` on other systems' disks."""
    return sorted(path for path in paths if not path.name.startswith("."))


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted by path; links are followed, hidden files and folders skipped.

    `Path.rglob` does not go into linked folders.  A link back to a folder that
    it lies in is not followed.  What cannot be looked into, such as a broken
    link or a folder deeper than paths can be long, counts as a file.
    """
    waiting = [(Path(folder), frozenset({os.path.realpath(folder)}), True)] if os.path.isdir(folder) else []
    while waiting:
        path, above, is_folder = waiting.pop()
        if not is_folder:
            yield path
            continue
        for inner in reversed(visible(path.iterdir())):
            if not os.path.isdir(inner):
                waiting.append((inner, above, False))
            elif (real := os.path.realpath(inner)) not in above:
                waiting.append((inner, above | {real}, True))


def shown(path: Path | str) -> str:
    """A path as text that can be written to a table: bytes of a name that are not UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def free_bytes(folder: Path) -> int:
    """Room on the disk where a folder is, or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def require_space(
    out: Path, parts: Iterable[Path], needed: int, what: str, free: Callable[[Path], int] = free_bytes
) -> None:
    """Raise InputError unless what will be written fits on the disk of `out`.

    `needed` are the bytes of all of it, and `parts` the folders in `out`
    where some of it may lie already, from other jobs or an earlier run.
    `what` is named in the sentence.
    """
    there, room = sum(map(used_bytes, parts)), free(out)
    if needed - there > room:
        raise InputError(
            f"{what} need {_gigabytes(needed)} in {out}, where {_gigabytes(there)} of them are and {_gigabytes(room)}"
            " are free; free some, choose another folder, or try it all the same with --check-space false"
        )


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.3g} GB"


def used_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; a link counts as itself."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # Another job may just have renamed it.
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
