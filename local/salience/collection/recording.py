"""One recording, from its file to clips: all steps in their order."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from salience.audio import as_int16, read_audio, write_audio
from salience.collection import cutting, quality, separation, speakers, voice
from salience.collection import music as music_detector
from salience.collection.optional_models import split_name
from salience.collection.quality import Limits
from salience.collection.reference import Found
from salience.collection.sources import Rejected, Source, plain
from salience.collection.spans import RATE, Span, cut_at, overlap
from salience.collection.speakers import Turn
from salience.corpora import pdid
from salience.corpora.download import whole_folder
from salience.errors import InputError
from salience.files import write_json
from salience.steps import audio_fingerprint

OUTCOME = "outcome.json"

DAMAGED = 0.01
"""The largest share of a recording's packets that may be damaged; silence replaces those."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen about a collection.

    vad, diariser, separator: which model does the step, by name.  vad_threshold:
    the minimum probability of speech.  pause: shorter silences (seconds) are part
    of the speech.  speaker_distance: voices closer than this cosine distance are
    one.  music_threshold: the minimum continuous frequency activation of music.
    longest_pause: seconds of silence over which a clip may go.  pad: seconds of
    silence kept at its ends.  wanted: seconds that a clip should have.
    """

    vad: str = "silero"
    diariser: str = "resemblyzer"
    separator: str = "none"
    vad_threshold: float = 0.5
    pause: float = 0.1
    speaker_distance: float = 0.4
    music_threshold: float = 2.2
    longest_pause: float = 1.5
    pad: float = 0.15
    wanted: float = 7.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: clips with their paths in its folder, rejected parts, and what was found in it."""

    clips: list[pdid.Clip]
    rejected: list[Rejected]
    found: Found


PACKAGES = {"silero": "silero-vad", "pyannote": "pyannote.audio"}
"""Packages that are called otherwise than the model that a user names."""


def steps_used(settings: Settings) -> dict[str, str]:
    """Each step and what does it, with its version."""

    def package(name: str) -> str:
        kind = split_name(name)[0]
        name = PACKAGES.get(kind, kind)
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return name

    clustering = f", {package('scikit-learn')}" if split_name(settings.diariser)[0] == "resemblyzer" else ""
    separates = split_name(settings.separator)[0] != "none"
    return {
        "decoding": package("av"),
        "resampling": package("soxr"),
        "voice activity": package(settings.vad),
        "diarisation": package(settings.diariser) + clustering,
        "music": "continuous frequency activation (own)",
        "separation": package(settings.separator) if separates else "none: speech over music is rejected",
        "loudness": package("pyloudnorm"),
    }


def collect(source: Source, folder: Path, settings: Settings) -> bool:
    """Collect from one recording into `folder`, which appears whole or not at all.

    The folder gets the clips and `outcome.json`.  A recording that cannot be
    used leaves an outcome with one sentence that says why.  Returns False
    when a finished outcome of the same file and settings was already there,
    with all its clips.
    """
    work = {
        "path": str(source.path), "accent": source.accent, "speaker": source.speaker, "settings": asdict(settings),
        "steps": steps_used(settings), "file": audio_fingerprint([source.path]),
    }  # fmt: skip
    if _is_done(folder, work):
        return False
    with whole_folder(folder) as fresh:
        try:
            samples = read_audio(source.path, RATE, max_damaged=DAMAGED)
        except InputError as error:
            outcome = _nothing(source, Found(0, [], [], [], []), "undecodable", str(error))
        else:
            outcome = _collect(source, samples, settings, lambda name, clip: write_clip(fresh / name, clip))
        write_json(fresh / OUTCOME, {"work": work, **asdict(outcome)})
    return True


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Write float samples (samples,) in [-1, 1] as 16 kHz mono 16-bit WAV."""
    write_audio(path, as_int16(samples), RATE, subtype="PCM_16")


def _is_done(folder: Path, work: dict[str, Any]) -> bool:
    try:
        read_outcome(folder)
        return json.loads((folder / OUTCOME).read_text(encoding="utf-8"))["work"] == json.loads(json.dumps(work))
    except (InputError, KeyError):
        return False


def read_outcome(folder: Path) -> Outcome:
    """What `collect` left in a folder; an InputError where it left nothing, or a clip is gone."""
    path = folder / OUTCOME
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        found = value["found"]
        outcome = Outcome(
            [pdid.Clip(**clip) for clip in value["clips"]],
            [Rejected(**rejected) for rejected in value["rejected"]],
            Found(
                found["length"],
                *([tuple(span) for span in found[name]] for name in ("speech", "music", "turns", "clips")),
            ),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is missing or damaged; run the collection again") from None
    for clip in outcome.clips:
        if not (path.parent / clip.path).is_file():
            raise InputError(f"{path.parent / clip.path} is missing; run the collection again")
    return outcome


def remove_others(folder: Path, keys: set[str]) -> None:
    """Remove the outcomes of recordings that are not asked for any more."""
    for old in folder.iterdir() if folder.is_dir() else ():
        if old.is_dir() and old.name not in keys and (old / OUTCOME).exists():
            shutil.rmtree(old)


def _nothing(source: Source, found: Found, reason: str, sentence: str) -> Outcome:
    return Outcome([], [Rejected(source.key, source.accent, reason, sentence)], found)


def _collect(
    source: Source, samples: np.ndarray, settings: Settings, write: Callable[[str, np.ndarray], None]
) -> Outcome:
    played = music_detector.music(samples, settings.music_threshold)
    samples = separation.separate(samples, played, settings.separator)
    # What a separator leaves of the music, which is what the clips are judged by.
    music = (
        played
        if split_name(settings.separator)[0] == "none"
        else music_detector.music(samples, settings.music_threshold)
    )
    speech = voice.speech(samples, settings.vad, settings.vad_threshold, settings.pause)
    if not speech:
        found = Found(len(samples), [], played, [], [])
        reason, what = "silence", "no speech"
        if overlap((0, len(samples)), played) > len(samples) / 2:
            reason, what = "music", "music and no speech"
        return _nothing(source, found, reason, f"{source.path} holds {what}; take it out of the recordings")
    edges = sorted({edge for span in music for edge in span})
    pieces = [piece for span in speech for piece in cut_at(span, edges)]
    if source.speaker:
        turns = [Turn(*piece, 1) for piece in pieces]
    else:
        turns = _diarised(samples, pieces, music, settings)
    clips, rejected, kept = [], [], []
    limits = settings.limits
    for stretch in cutting.stretches(turns, edges, settings.longest_pause, settings.pad, len(samples)):
        for span in cutting.cut(stretch, samples, limits.shortest, limits.longest, settings.wanted):
            measures = quality.measure(samples, span, speech, music, limits.loudness)
            start, end = span[0] / RATE, span[1] / RATE
            bad = quality.rejection(span, measures, limits)
            if bad:
                rejected.append(Rejected(source.key, source.accent, *bad, start, end))
                continue
            kept.append(span)
            speaker, utt = ids(source, stretch.speaker, len(kept))
            write(f"{utt}.wav", measures.gain * samples[span[0] : span[1]])
            clip = pdid.Clip(
                utt, f"{utt}.wav", source.accent, source.key, start, end, speaker,
                measures.loudness, measures.snr, measures.music, text="", split="",
            )  # fmt: skip
            clips.append(clip)
    heard = [(turn.start, turn.end, turn.speaker) for turn in turns if turn.speaker]
    found = Found(len(samples), speech, played, heard, kept)
    return Outcome(clips, rejected, found)


def ids(source: Source, speaker: int, clip: int) -> tuple[str, str]:
    """The ids of a speaker and of a clip, by the number of the speaker in the recording and that of the clip."""
    if source.speaker:
        return source.speaker, f"{source.speaker}-{source.key}-{clip:04d}"
    name = f"{plain(source.key)}_s{speaker:02d}"
    return name, f"{name}-{clip:04d}"


def _diarised(samples: np.ndarray, pieces: list[Span], music: list[Span], settings: Settings) -> list[Turn]:
    """Turns of all pieces; voices are told apart by the speech without music, for music changes a voice."""
    clean = [piece for piece in pieces if not overlap(piece, music)]
    turns = speakers.diarise(samples, clean, settings.diariser, settings.speaker_distance) if clean else []
    # Number 0: somebody over music, who is heard in no clip.
    over_music = [Turn(*piece, 0) for piece in pieces if overlap(piece, music)]
    return sorted([*turns, *over_music], key=lambda turn: turn.start)
