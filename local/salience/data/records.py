"""What a corpus module yields."""

from dataclasses import dataclass
from pathlib import Path

UNKNOWN = 0.0
"""Seconds of an utterance that was not measured yet."""


@dataclass(frozen=True)
class Utterance:
    """One utterance of any corpus.

    `id` starts with `speaker`, so that both Kaldi sorts agree.  `start` and
    `end` are seconds in `audio`, or None when the file is the utterance.
    `recording` names the file in `wav.scp`; it equals `id` without segments.
    """

    id: str
    speaker: str
    audio: Path
    text: str
    duration: float
    recording: str
    start: float | None = None
    end: float | None = None
    accent: str | None = None
    gender: str | None = None
    split: str | None = None
    language: str | None = None

    @classmethod
    def file(cls, key: str, speaker: str, audio: Path, text: str, **known: str | None) -> "Utterance":
        """An utterance that is a whole file, not measured yet; `known` are any of the optional fields."""
        return cls(key, speaker, audio, text, UNKNOWN, key, **known)  # type: ignore[arg-type]
