"""What a collection has gathered: the table of accents, what was rejected and why, distributions."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from more_itertools import map_reduce

from salience.collection.sources import Rejected
from salience.corpora.pdid import Clip
from salience.files import whole_file

REJECTED_COLUMNS = ("recording", "accent", "start", "end", "reason", "sentence")
BINS = {"duration": np.arange(3, 31, 1.0), "snr": np.arange(10, 82, 4.0), "speakers": np.arange(0.5, 11.5, 1.0)}
"""Edges of the histograms: seconds and dB of the clips, speakers of a recording."""


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write the table of what was left out: times in seconds (empty for whole recordings), reason, sentence."""
    with whole_file(path) as handle:
        handle.write("\t".join(REJECTED_COLUMNS) + "\n")
        for one in rejected:
            times = ("" if value is None else f"{value:.3f}" for value in (one.start, one.end))
            sentence = " ".join(one.sentence.split())
            handle.write("\t".join((one.recording, one.accent, *times, one.reason, sentence)) + "\n")


def accents_table(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Samples and hours of each accent, as in Table 1 of Sameti et al. (2025), with recordings and speakers."""
    return [
        {
            "accent": accent,
            "samples": len(own),
            "hours": round(_seconds(own) / 3600, 4),
            "recordings": len({clip.recording for clip in own}),
            "speakers": len({clip.speaker for clip in own}),
        }
        for accent, own in sorted(map_reduce(clips, attrgetter("accent")).items())
    ]


def _seconds(parts: Iterable[Clip | Rejected]) -> float:
    return sum((part.end or 0) - (part.start or 0) for part in parts)


def recordings_table(
    clips: Sequence[Clip], rejected: Sequence[Rejected], lengths: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Seconds of each recording, of its clips, and of the pieces rejected from it; those that lose most come first."""
    kept, lost = (map_reduce(parts, attrgetter("recording"), reducefunc=_seconds) for parts in (clips, rejected))
    table = [
        {
            "recording": key,
            "seconds": round(length, 2),
            "kept": round(kept.get(key, 0.0), 2),
            "rejected": round(lost.get(key, 0.0), 2),
        }
        for key, length in lengths.items()
    ]
    return sorted(table, key=lambda row: (-row["rejected"], row["recording"]))


def rejected_table(rejected: Sequence[Rejected]) -> list[dict[str, Any]]:
    """How many pieces, or whole recordings, were rejected for each reason, and their seconds."""
    return [
        {"reason": reason, "count": len(own), "seconds": round(_seconds(own), 2)}
        for reason, own in sorted(map_reduce(rejected, attrgetter("reason")).items())
    ]


def histograms(clips: Sequence[Clip]) -> dict[str, dict[str, list[float]]]:
    """Counts between the edges of BINS; what lies outside counts in the first or last bin."""
    voices: dict[str, set[str]] = {}
    for clip in clips:
        voices.setdefault(clip.recording, set()).add(clip.speaker)
    values: Mapping[str, list[float]] = {
        "duration": [(clip.end or 0) - (clip.start or 0) for clip in clips],
        "snr": [clip.snr for clip in clips if clip.snr is not None],
        "speakers": [len(names) for names in voices.values()],
    }
    return {
        name: {
            "edges": edges.tolist(),
            "counts": np.histogram(np.clip(values[name], edges[0], edges[-1]), edges)[0].tolist(),
        }
        for name, edges in BINS.items()
    }


def summarise(clips: Sequence[Clip], rejected: Sequence[Rejected], lengths: Mapping[str, float]) -> dict[str, Any]:
    """All of the above as one table for JSON; `lengths` are the seconds of the recordings that could be decoded."""
    return {
        "recordings": len(lengths),
        "recording_hours": round(sum(lengths.values()) / 3600, 4),
        "clips": len(clips),
        "hours": round(_seconds(clips) / 3600, 4),
        "accents": accents_table(clips),
        "rejected": rejected_table(rejected),
        "by_recording": recordings_table(clips, rejected, lengths),
        "histograms": histograms(clips),
    }
