"""Progress for people: a bar on a terminal, a line a minute in a log file."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

MEGABYTE = 1_000_000
Item = TypeVar("Item")
logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines; what takes less than that says nothing on the way."""


class Pace:
    """When a line is due, and how long the rest will take at the pace so far.

    Args:
        total: Steps in all, if it is known.
        done: Steps that were done before the clock started.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, total: int | None, done: int = 0, clock: Callable[[], float] | None = None) -> None:
        self.total, self._before = total, done
        self._clock = clock or time.monotonic
        self._start = self._last = self._clock()

    def due(self) -> bool:
        """Whether a line is due; the next one is then due EVERY seconds later."""
        now = self._clock()
        if now - self._last < EVERY:
            return False
        self._last = now
        return True

    def line(self, done: int) -> str:
        """`120 of 345, 4 min left`, after so many steps."""
        if self.total is None:
            return str(done)
        rest = (self._clock() - self._start) / max(done - self._before, 1) * (self.total - done)
        return f"{done} of {self.total}, {duration(rest)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `12 min`, `3 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def bar(items: Iterable[Item], title: str, total: int | None = None) -> Iterable[Item]:
    """Iterate with a progress bar when standard error is a terminal, and else with a line of the log each minute."""
    if sys.stderr.isatty():
        return tqdm(items, desc=title, total=total, leave=False)
    return _logged(items, title, len(items) if total is None and isinstance(items, Sized) else total)


def _logged(items: Iterable[Item], title: str, total: int | None) -> Iterator[Item]:
    pace = Pace(total)
    for done, item in enumerate(items):
        if pace.due():
            logger.info("%s: %s", title, pace.line(done))
        yield item


@contextmanager
def bytes_bar(title: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """The same for bytes: what this gives is called with how many there are now."""
    if sys.stderr.isatty():
        with tqdm(desc=title, total=total, initial=done, unit="B", unit_scale=True, leave=False) as shown:
            yield lambda now: shown.update(now - shown.n)
        return
    pace = Pace(total and total // MEGABYTE, done // MEGABYTE)

    def note(now: int) -> None:
        if pace.due():
            logger.info("%s: MB %s", title, pace.line(now // MEGABYTE))

    yield note
