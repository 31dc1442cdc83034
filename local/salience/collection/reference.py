"""What is known of the recordings beforehand, and how well the collection found it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from salience.collection.spans import RATE, Span, join, overlap
from salience.corpora.labels import rows_of
from salience.errors import InputError

COLUMNS = ("recording", "start", "end", "speaker", "text")
MUSIC = "(music)"
"""The speaker of a line that says where there is music."""
TOLERANCES = (0.25, 0.5)
WITHIN = 0.2
"""Seconds, at most half its length, by which an utterance may reach beyond the clip that has its text."""


@dataclass(frozen=True)
class Said:
    """One timed utterance; times in seconds, speaker and text may be empty."""

    start: float
    end: float
    speaker: str
    text: str

    @property
    def span(self) -> Span:
        """In samples."""
        return round(self.start * RATE), round(self.end * RATE)


@dataclass
class Reference:
    """What is known of one recording."""

    utterances: list[Said] = field(default_factory=list)
    music: list[Span] = field(default_factory=list)


def read_reference(path: Path) -> dict[str, Reference]:
    """A table separated by tabs whose first line names COLUMNS; by recording.

    `recording` is the recording's path without ending, as it is called in all
    tables of the collection.  Lines whose speaker is MUSIC say where there is
    music.  A missing column or an invalid time is an InputError.
    """
    found: dict[str, Reference] = {}
    for number, row in rows_of(path, COLUMNS, absent="correct --reference, or leave it out"):
        try:
            start, end = float(row["start"]), float(row["end"])
        except ValueError:
            start, end = 0.0, 0.0
        if not 0 <= start < end < float("inf"):
            raise InputError(
                f"{path}:{number} goes from {row['start']} to {row['end']}, which is not a time span in seconds; "
                "correct the line"
            )
        own = found.setdefault(row["recording"], Reference())
        if row["speaker"] == MUSIC:
            own.music.append((round(start * RATE), round(end * RATE)))
        else:
            own.utterances.append(Said(start, end, row["speaker"], row["text"]))
    for own in found.values():
        own.utterances.sort(key=lambda said: (said.start, said.end))
        own.music = join(own.music)
    return found


def text_of(clip: Span, reference: Reference) -> str:
    """What is said in a clip, if every utterance it touches lies in it whole and has a text; else nothing."""
    reach = round(WITHIN * RATE)
    touched = [
        said
        for said in reference.utterances
        if overlap(clip, [said.span]) > min(reach, (said.span[1] - said.span[0]) // 2)
    ]
    whole = all(said.span[0] >= clip[0] - reach and said.span[1] <= clip[1] + reach for said in touched)
    return " ".join(said.text for said in touched) if touched and whole and all(said.text for said in touched) else ""


def gaps(spans: Sequence[Span]) -> list[Span]:
    """What a segmentation decides: the gap between each two spans that follow each other, and its two ends.

    Where one ends as the next begins, the gap is a point.
    """
    ordered = sorted(spans)
    if not ordered:
        return []
    inner = [(min(a[1], b[0]), b[0]) for a, b in zip(ordered, ordered[1:])]
    return [(ordered[0][0], ordered[0][0]), *inner, (ordered[-1][1], ordered[-1][1])]


def matched(found: Sequence[Span], wanted: Sequence[Span], tolerance: int) -> int:
    """How many of `found` can be paired with one each of `wanted` that lies at most `tolerance` samples away."""
    count = position = 0
    targets = sorted(wanted, key=lambda gap: (gap[1], gap[0]))
    taken = [False] * len(targets)
    for start, end in sorted(found, key=lambda gap: (gap[1], gap[0])):
        while position < len(targets) and targets[position][1] < start - tolerance:
            position += 1
        for number in range(position, len(targets)):
            if not taken[number] and targets[number][0] <= end + tolerance and targets[number][1] >= start - tolerance:
                taken[number] = True
                count += 1
                break
    return count


@dataclass(frozen=True)
class Found:
    """What the collection made of one recording: its length in samples, speech, music, turns with a speaker, clips."""

    length: int
    speech: list[Span]
    music: list[Span]
    turns: list[tuple[int, int, int]]
    clips: list[Span]


def shared(recordings: Iterable[str], reference: Mapping[str, Reference]) -> list[str]:
    """The recordings that a reference knows, by name; an InputError if there is none."""
    names = set(recordings)
    both = sorted(reference.keys() & names)
    if not both:
        raise InputError(
            "the reference names none of the recordings; its first column is their path without ending, joined by"
            f" dashes, for instance {min(names, default='')}"
        )
    return both


def compare(found: Mapping[str, Found], reference: Mapping[str, Reference]) -> dict[str, Any]:
    """All figures of the comparison, in percent, over the recordings that are in both.

    tolerance: of the clips' boundaries, by tolerance in seconds: precision,
    recall, f1, and chance_precision, which is that of the same boundaries
    moved around by shares of the recording.  speech_tolerance: the same for
    the pauses that the voice activity detector found.  onset_error: the
    median distance of an utterance's start from the nearest start of what was
    found to be speech, in seconds and not in percent.  coverage_clips,
    coverage_speech: the share of the utterances' time that is in clips, or
    was found to be speech.  speech_precision: the share of what was found to
    be speech that lies in utterances.  speaker_accuracy: the share of the
    time spoken, as found, whose speaker is right under the best pairing of
    names.  speaker_count: the share of recordings with the right number of
    speakers, of those who speak 3 s or more.  music_precision and
    music_recall by time; None where there is nothing to judge by.
    """
    both = shared(found, reference)
    clips = {key: found[key].clips for key in both}
    speech = {key: found[key].speech for key in both}
    said = {key: [utterance.span for utterance in reference[key].utterances] for key in both}
    lengths = {key: found[key].length for key in both}
    spoken = {key: join(said[key]) for key in both}
    result: dict[str, Any] = {
        "recordings": len(both),
        "utterances": sum(map(len, said.values())),
        "tolerance": {f"{t:g}": _boundaries(clips, said, lengths, t) for t in TOLERANCES},
        "speech_tolerance": {f"{t:g}": _boundaries(speech, said, lengths, t) for t in TOLERANCES},
        "onset_error": _onset_error(said, speech),
        "coverage_clips": _share(spoken, clips),
        "coverage_speech": _share(spoken, speech),
        "speech_precision": _share(speech, spoken),
    }
    result |= _speakers({key: found[key] for key in both}, reference)
    music = {key: reference[key].music for key in both}
    known = any(music.values())
    result["music_precision"] = _share({key: found[key].music for key in both}, music) if known else None
    result["music_recall"] = _share(music, {key: found[key].music for key in both}) if known else None
    return result


def _percent(part: float, whole: float) -> float | None:
    return round(100 * float(part) / float(whole), 2) if whole else None


def _share(of: Mapping[str, Sequence[Span]], inside: Mapping[str, Sequence[Span]]) -> float | None:
    """The share of the time in `of` that is also in `inside`."""
    total = sum(end - start for spans in of.values() for start, end in spans)
    return _percent(sum(overlap(span, inside[key]) for key, spans in of.items() for span in spans), total)


def _onset_error(said: Mapping[str, Sequence[Span]], speech: Mapping[str, Sequence[Span]]) -> float | None:
    errors = [
        min(abs(start - begin) for begin, _ in speech[key]) for key in said if speech[key] for start, _ in said[key]
    ]
    return round(float(np.median(errors)) / RATE, 3) if errors else None


def _boundaries(
    found: Mapping[str, Sequence[Span]],
    wanted: Mapping[str, Sequence[Span]],
    lengths: Mapping[str, int],
    tolerance: float,
) -> dict[str, float | None]:
    reach = round(tolerance * RATE)
    mine = {key: gaps(spans) for key, spans in found.items()}
    theirs = {key: gaps(spans) for key, spans in wanted.items()}
    hits = sum(matched(mine[key], theirs[key], reach) for key in mine)
    count, total = sum(map(len, mine.values())), sum(map(len, theirs.values()))
    shifts = [number / 20 for number in range(1, 20)]
    by_chance = sum(
        matched(_moved(mine[key], round(shift * lengths[key]), lengths[key]), theirs[key], reach)
        for key in mine
        for shift in shifts
    )
    precision, recall = _percent(hits, count), _percent(hits, total)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _percent(2 * hits, count + total),
        "chance_precision": _percent(by_chance, len(shifts) * count),
    }


def _moved(spans: Sequence[Span], by: int, length: int) -> list[Span]:
    """Spans moved along a recording, in at its beginning when out at its end."""
    return [((start + by) % length, (start + by) % length + end - start) for start, end in spans]


def _speakers(found: Mapping[str, Found], reference: Mapping[str, Reference]) -> dict[str, float | None]:
    right = judged = counted = same = 0
    for key, own in found.items():
        names = sorted({said.speaker for said in reference[key].utterances if said.speaker})
        if not names or not own.turns:
            continue
        numbers = sorted({speaker for _, _, speaker in own.turns})
        together = np.zeros((len(names), len(numbers)))
        for row, name in enumerate(names):
            spans = join(said.span for said in reference[key].utterances if said.speaker == name)
            for start, end, speaker in own.turns:
                together[row, numbers.index(speaker)] += overlap((start, end), spans)
        rows, columns = linear_sum_assignment(-together)
        right += together[rows, columns].sum()
        judged += together.sum()
        counted += 1
        same += len(names) == int((together.sum(axis=0) >= 3 * RATE).sum())
    return {"speaker_accuracy": _percent(right, judged), "speaker_count": _percent(same, counted)}
