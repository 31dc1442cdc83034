"""Progress for people: a bar on a terminal, nothing in a log file."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def bar(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """Iterate with a progress bar when standard error is a terminal."""
    return tqdm(items, desc=title, total=total, disable=not sys.stderr.isatty(), leave=False)
