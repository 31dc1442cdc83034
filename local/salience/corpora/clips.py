"""How long the clips of a corpus are, and which of them cannot be used: all of those are found in one pass."""

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from more_itertools import chunked

from salience.audio import TOLERANCE, BadAudio, audio_duration, audio_info
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import shown, write_lines
from salience.progress import bar

logger = logging.getLogger(__name__)

TABLE = "bad_clips.tsv"
"""Beside the data directories: a path and its reason on each line, separated by a tab."""

LEFT_OUT = f"clips that cannot be used ({TABLE} says which and why)"

SHOWN = 10
BATCH = 10_000
"""Files that wait for a thread at a time."""


class BadClips:
    """Measures clips in several threads and gathers those that cannot be used.

    With `folder`, `report` writes them to a table there, and ends the run
    unless they are to be skipped.  Without it, the call that finds a bad clip
    is an InputError.  `reasons` maps the path of a bad clip to what is wrong
    with it and what helps; `count` is how many files were opened.
    """

    def __init__(self, folder: Path | None = None, skip: bool = False) -> None:
        self.folder, self.skip = folder, skip
        self.reasons: dict[Path, str] = {}
        self.count = 0

    def durations(self, paths: Iterable[Path], measure: Callable[[Path], float] = audio_duration) -> dict[Path, float]:
        """Seconds of each file that is whole, in the order of `paths`; the others are gathered.

        `measure` returns the length of a file or raises BadAudio.
        """
        paths = list(dict.fromkeys(paths))
        found: dict[Path, float] = {}
        with ThreadPoolExecutor() as pool:
            opened = (
                answer for batch in chunked(paths, BATCH) for answer in pool.map(lambda p: _measured(p, measure), batch)
            )
            for path, seconds in zip(paths, bar(opened, "measuring clips", len(paths)), strict=True):
                if isinstance(seconds, float):
                    found[path] = seconds
                else:
                    self._add(path, str(seconds))
        self.count += len(paths)
        self._check()
        return found

    def usable(
        self,
        utterances: Iterable[Utterance],
        told: Mapping[str, float] | None = None,
        measure: Callable[[Path], float] = audio_duration,
    ) -> list[Utterance]:
        """The utterances whose audio is whole, in their order, with the length of it.

        An utterance that is part of a recording keeps the length that it has,
        if the recording reaches to its end.  `told` is what a table of the
        corpus says of the length of utterances, in seconds; a clip that
        differs from that by more than TOLERANCE is bad.
        """
        utterances, told = list(utterances), told or {}
        lengths = self.durations((utterance.audio for utterance in utterances), measure)
        kept = []
        for utterance in utterances:
            path, said = utterance.audio, told.get(utterance.id)
            if path not in lengths:
                continue
            if utterance.end is not None and utterance.end > lengths[path] + TOLERANCE:
                self._add(
                    path,
                    f"ends at {lengths[path]:.2f} s, before the end of {utterance.id} at {utterance.end:.2f} s; "
                    "fetch the recording again, or correct segments",
                )
            elif utterance.end is None and said is not None and abs(lengths[path] - said) > TOLERANCE:
                self._add(
                    path,
                    f"lasts {lengths[path]:.2f} s, and {said:.2f} s in the table of the corpus; "
                    "fetch it again, or correct the table",
                )
            else:
                kept.append(replace(utterance, duration=lengths[path]) if utterance.end is None else utterance)
        self._check()
        return kept

    def report(self) -> None:
        """Show the first of the bad clips, write the table of all, and end the run unless they are to be skipped.

        Where none is bad, the table of an earlier run is removed.
        """
        assert self.folder is not None
        table = self.folder / TABLE
        if not self.reasons:
            table.unlink(missing_ok=True)
            return
        bad = sorted((shown(path), reason) for path, reason in self.reasons.items())
        write_lines(table, (f"{path}\t{reason}" for path, reason in bad))
        for path, reason in bad[:SHOWN]:
            logger.warning("%s %s", path, reason)
        if len(bad) > SHOWN:
            logger.warning("... and %d more", len(bad) - SHOWN)
        if not self.skip:
            first = " ".join(bad[0])
            raise InputError(
                f"{len(bad)} of {self.count} clips cannot be used (the first: {first}); {table} lists them all: "
                "fix them and rerun, or leave them out with --skip-bad-clips true"
            )
        logger.warning("%d of %d clips cannot be used and are left out; %s lists them all", len(bad), self.count, table)

    def left_out(self) -> list[str]:
        """What preparation.txt says of the bad clips: a line, or nothing where there is none."""
        return [f"Left out: {len(self.reasons)} {LEFT_OUT}."] if self.reasons else []

    def _add(self, path: Path, reason: str) -> None:
        self.reasons.setdefault(path, " ".join(reason.removeprefix(f"{path} ").split()))

    def _check(self) -> None:
        if self.folder is not None or not self.reasons:
            return
        path, reason = next(iter(self.reasons.items()))
        others = f" ({len(self.reasons)} of {self.count} clips cannot be used)" if len(self.reasons) > 1 else ""
        raise InputError(f"{shown(path)} {reason}{others}")


def bad_before(folder: Path) -> list[Path]:
    """The clips that were bad when the sets in `folder` were made: if one of them changes, these are out of date."""
    table = folder / TABLE
    if not table.is_file():
        return []
    return [Path(line.partition("\t")[0]) for line in table.read_text(encoding="utf-8", errors="replace").splitlines()]


def mono_duration(path: Path, rate: int) -> float:
    """Seconds of a file; one that is damaged, not mono, or not at `rate` Hz is a BadAudio error."""
    info = audio_info(path)
    if info.rate != rate:
        raise BadAudio(path, f"has {info.rate} Hz instead of {rate}", f"use a copy at {rate} Hz")
    if info.channels != 1:
        raise BadAudio(path, f"has {info.channels} channels instead of one", "mix it down (sox -c 1)")
    return info.seconds


def _measured(path: Path, measure: Callable[[Path], float]) -> float | BadAudio:
    """Seconds, or what is wrong."""
    try:
        str(path).encode()
        return float(measure(path))
    except UnicodeEncodeError:
        return BadAudio(path, "has a name that is not UTF-8", "rename it")
    except BadAudio as error:
        return error
    except OSError as error:
        return BadAudio(path, f"cannot be read ({error.strerror})", "correct its permissions")
