"""Who speaks when: speaker embeddings of short pieces of speech, clustered."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.collection.optional_models import load_pyannote, split_name
from salience.collection.spans import RATE, Span, join, near, seconds
from salience.errors import InputError

NAMES = ("resemblyzer", "pyannote")

UNIT = 1.6
"""Seconds of speech that an embedding is made of, at most: what Resemblyzer's encoder was trained with."""
SHORTEST = 0.8
"""Seconds; shorter pieces say too little of a voice and go to the nearest one in time."""
BREATH = 0.2
"""Seconds of silence that a piece may go over: what is shorter parts no speakers."""
MOST = 3000
"""Pieces that are clustered; of a longer recording every n-th is, and the others join the nearest centre."""
SEAM = 0.4
"""Seconds around a change of speaker within which it moves to the quietest place."""


@dataclass(frozen=True)
class Turn:
    """A piece of speech and the number of its speaker, from 1 in the order of appearance."""

    start: int
    end: int
    speaker: int


def diarise(samples: np.ndarray, speech: Sequence[Span], name: str, distance: float) -> list[Turn]:
    """The spans of `speech`, cut where the speaker changes, with a speaker each.

    name: `resemblyzer`, whose encoder lies in its package, with agglomerative
    clustering (average linkage): voices whose mean cosine distance is below
    `distance` are one.  Or `pyannote`, or `pyannote:<pipeline>`.  Two who
    speak at once are taken for one speaker by the first, and for the first of
    the two by pyannote's.  An unknown name is an InputError.
    """
    kind, model = split_name(name)
    if kind == "resemblyzer" and not model:
        return _in_order(_resemblyzer(samples, speech, distance))
    if kind == "pyannote":
        return _in_order(_pyannote(samples, speech, model or "pyannote/speaker-diarization-3.1"))
    raise InputError(f"there is no diariser {name}; --diariser takes {' or '.join(NAMES)}")


def _in_order(turns: Sequence[Turn]) -> list[Turn]:
    """Speakers numbered as they appear; touching turns of one speaker joined."""
    numbers: dict[int, int] = {}
    joined: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: turn.start):
        speaker = numbers.setdefault(turn.speaker, len(numbers) + 1)
        if joined and joined[-1].end == turn.start and joined[-1].speaker == speaker:
            joined[-1] = Turn(joined[-1].start, turn.end, speaker)
        else:
            joined.append(Turn(turn.start, turn.end, speaker))
    return joined


@functools.cache
def _encoder() -> Any:
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


def _units(speech: Sequence[Span]) -> list[Span]:
    """Spans in equal pieces of UNIT seconds at most."""
    units = []
    for start, end in speech:
        edges = np.linspace(start, end, int(np.ceil((end - start) / (UNIT * RATE))) + 1).astype(int)
        units += [(int(a), int(b)) for a, b in zip(edges, edges[1:])]
    return units


def _embed(samples: np.ndarray, units: Sequence[Span]) -> np.ndarray:
    """Unit-length embeddings (units, 256)."""
    import torch
    from resemblyzer.audio import wav_to_mel_spectrogram

    found = []
    for start, end in units:
        piece = samples[start:end]
        # The level that the encoder was trained at: -30 dB of full scale.
        level = float(np.sqrt(np.mean(np.square(piece, dtype=np.float64)))) or 1.0
        mel = wav_to_mel_spectrogram((piece * (10 ** (-30 / 20) / level)).astype(np.float32))
        with torch.no_grad():
            found.append(_encoder()(torch.from_numpy(mel)[None])[0].numpy())
    return np.stack(found)


def _resemblyzer(samples: np.ndarray, speech: Sequence[Span], distance: float) -> list[Turn]:
    units = _units(join(speech, round(BREATH * RATE)))
    long = [number for number, unit in enumerate(units) if seconds(unit) >= SHORTEST]
    if len(long) < 2:
        return [Turn(*span, 1) for span in speech]
    known = dict(zip(long, _clusters(_embed(samples, [units[n] for n in long]), distance)))
    # Pieces that are too short take the label of the nearest piece that has one.
    labels = [
        known[min(known, key=lambda other: (_apart(unit, units[other]), other))]
        if number not in known
        else known[number]
        for number, unit in enumerate(units)
    ]
    labels = _without_strays(units, labels)
    turns = _with_quiet_seams(samples, [Turn(*unit, label) for unit, label in zip(units, labels)])
    return [
        Turn(max(turn.start, start), min(turn.end, end), turn.speaker)
        for turn in turns
        for start, end in near(speech, turn.start, turn.end)
    ]


def _clusters(embeddings: np.ndarray, distance: float) -> list[int]:
    from sklearn.cluster import AgglomerativeClustering

    chosen = np.unique(np.linspace(0, len(embeddings) - 1, min(len(embeddings), MOST)).astype(int))
    method = AgglomerativeClustering(n_clusters=None, metric="cosine", linkage="average", distance_threshold=distance)
    labels = method.fit_predict(embeddings[chosen])
    if len(chosen) == len(embeddings):
        return [int(label) for label in labels]
    centres = np.stack([embeddings[chosen][labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return [int(label) for label in (embeddings @ centres.T).argmax(axis=1)]


def _apart(one: Span, other: Span) -> int:
    return max(one[0] - other[1], other[0] - one[1], 0)


def _without_strays(units: Sequence[Span], labels: list[int]) -> list[int]:
    """One piece of another voice between two of the same, without a pause, is the same voice."""
    smooth = list(labels)
    for number in range(1, len(units) - 1):
        before, after = smooth[number - 1], labels[number + 1]
        touching = units[number - 1][1] == units[number][0] and units[number][1] == units[number + 1][0]
        if before == after and touching:
            smooth[number] = before
    return smooth


def _with_quiet_seams(samples: np.ndarray, turns: list[Turn]) -> list[Turn]:
    """Where speakers change without a pause, the change moves to the quietest 20 ms nearby."""
    moved = list(turns)
    for number in range(len(moved) - 1):
        one, other = moved[number], moved[number + 1]
        if one.end == other.start and one.speaker != other.speaker:
            reach = min(round(SEAM * RATE), (one.end - one.start) // 2, (other.end - other.start) // 2)
            seam = quietest(samples, one.end - reach, one.end + reach)
            moved[number] = Turn(one.start, seam, one.speaker)
            moved[number + 1] = Turn(seam, other.end, other.speaker)
    return moved


def quietest(samples: np.ndarray, first: int, last: int) -> int:
    """The middle of the quietest 20 ms between two samples, or the middle of what is shorter than that."""
    size = RATE // 50
    if last - first <= size:
        return (first + last) // 2
    power = np.concatenate([[0.0], np.cumsum(np.square(samples[first:last], dtype=np.float64))])
    return first + int(np.argmin(power[size:] - power[:-size])) + size // 2


def _pyannote(samples: np.ndarray, speech: Sequence[Span], model: str) -> list[Turn]:
    import torch

    pipeline = load_pyannote(model, "diarisation", "--diariser resemblyzer")
    found = pipeline({"waveform": torch.from_numpy(samples)[None], "sample_rate": RATE})
    # From 4.0 on the annotation is a part of the answer.
    annotation = getattr(found, "speaker_diarization", found)
    owner = np.zeros(len(samples), dtype=np.int32)
    names: dict[str, int] = {}
    for turn, _, label in annotation.itertracks(yield_label=True):
        part = owner[max(0, round(turn.start * RATE)) : round(turn.end * RATE)]
        part[part == 0] = names.setdefault(str(label), len(names) + 1)
    turns = []
    for start, end in speech:
        edges = start + 1 + np.flatnonzero(np.diff(owner[start:end]))
        points = [start, *map(int, edges), end]
        turns += [Turn(a, b, int(owner[a])) for a, b in zip(points, points[1:]) if owner[a]]
    return turns
