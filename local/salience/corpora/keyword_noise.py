"""Noise for keyword spotting: pieces for training and testing, and the piece that each test utterance is mixed with."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path

import numpy as np

from salience.corpora import musan, qut_noise
from salience.corpora.clips import BadClips
from salience.corpora.recordings import of_a_second, piece, recordings, whole_seconds
from salience.corpora.speech_commands import RATE, background, utterance_id
from salience.data.records import Utterance
from salience.errors import InputError, stale
from salience.randomness import generator

SHARE = 0.8
"""Of the in-domain noise, for training."""
MIN_SPLIT = 3
"""Seconds: of a shorter recording, this share of the whole seconds would be all of them."""


@dataclass
class Noise:
    """The noise of one noisy test set.

    Args:
        told: What it is, for preparation.txt.
        recordings: The whole recordings that last a second at least.
        train: Pieces of one second for training.
        test: Pieces of one second for the test set.
    """

    told: str
    recordings: list[Utterance] = field(default_factory=list)
    train: list[Utterance] = field(default_factory=list)
    test: list[Utterance] = field(default_factory=list)


def check_names(noise: str, other_noise: str) -> tuple[str, str]:
    """Return what the noisy test sets are named after, the words or the last parts of the folders' paths."""
    names = {"--noise": Path(noise).name, "--other-noise": Path(other_noise).name}
    for option, name in names.items():
        if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
            raise InputError(f"{option} is called {name!r}; rename the folder: use letters, digits, - and _")
    first, second = names.values()
    if first == second:
        raise InputError(f"--noise and --other-noise are both called {first}; rename one of the folders")
    return first, second


def in_domain(noise: str, corpora: Path, seed: int, bad: BadClips) -> Noise:
    """Find and split in-domain noise: of MUSAN the first second of each recording, of other recordings whole seconds.

    Args:
        noise: `musan`, `background` (the recordings of Speech Commands), or a folder of recordings
        corpora: folder with <corpus>/root.txt
        seed: random seed of the split
        bad: takes the recordings that cannot be used
    """
    if noise == "musan":
        folder = root_of("musan", corpora)
        usable = _usable(musan.noises(folder, bad), folder, "--musan-root", bad)
        train, test = split_recordings(usable, seed)
        told = f"the first second of each recording of noise in {folder}; noise_*.txt list them"
    else:
        folder = background(root_of("speech_commands", corpora)) if noise == "background" else Path(noise).absolute()
        usable = _usable(recordings(folder, bad=bad), folder, "--noise", bad)
        train, test = split_seconds(usable, seed)
        told = f"the seconds of {_number(usable)} in {folder}, of each the first {SHARE:.0%} for training"
        if short := sum(recording.duration < MIN_SPLIT for recording in usable):
            told += f", but all or none of the {short} shorter than {MIN_SPLIT} s"
    if not train or not test:
        raise InputError(
            f"{folder} holds too little noise: a second to train with and another to test with; give more with --noise"
        )
    return Noise(told, usable, train, test)


def out_of_domain(noise: str, corpora: Path, bad: BadClips) -> Noise:
    """Find out-of-domain noise: `qut`, the living room of QUT-NOISE, or all recordings of a folder."""
    folder = root_of("qut_noise", corpora) if noise == "qut" else Path(noise).absolute()
    found = qut_noise.noises(folder, bad) if noise == "qut" else recordings(folder, bad=bad)
    usable = _usable(found, folder, "--other-noise", bad)
    return Noise(f"{_number(usable)} in {folder}", usable)


def root_of(corpus: str, corpora: Path) -> Path:
    """Return the root of a corpus that stage 0 has put in place."""
    answer = corpora / corpus / "root.txt"
    if not answer.exists():
        raise stale(answer, "does not exist")
    return Path(answer.read_text(encoding="utf-8").strip())


def _usable(found: Sequence[Utterance], folder: Path, option: str, bad: BadClips) -> list[Utterance]:
    if not found:
        bad.report()
    return of_a_second(found, folder, option)


def _number(found: Sequence[Utterance]) -> str:
    return f"{len(found)} recording{'s' if len(found) > 1 else ''}"


def split_recordings(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Take the first second of each recording, for training or for testing as the seed draws the recordings."""
    train, test = _drawn(usable, seed)
    return [piece(one, 0) for one in train], [piece(one, 0) for one in test]


def split_seconds(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Take all whole seconds: of each recording the first for training, the rest for testing.

    A recording too short to have both goes to one side as a whole, drawn by
    the seed.
    """
    drawn = _drawn([recording for recording in usable if recording.duration < MIN_SPLIT], seed)
    train, test = ([one for recording in part for one in whole_seconds(recording)] for part in drawn)
    for recording in usable:
        if recording.duration >= MIN_SPLIT:
            pieces = whole_seconds(recording)
            count = round(SHARE * len(pieces))
            train += pieces[:count]
            test += pieces[count:]
    return train, test


def _drawn(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Recordings for training, and for testing at least one where there are two."""
    drawn = sorted(usable, key=lambda recording: generator(seed, "noise", recording.id).random())
    count = min(round(SHARE * len(drawn)), max(len(drawn) - 1, 1))
    return drawn[:count], drawn[count:]


def pair_pieces(test: Iterable[Utterance], pieces: Sequence[Utterance], seed: int) -> dict[str, str]:
    """Draw one of the pieces for each utterance, with replacement, from its first sample."""
    ids = sorted(piece.id for piece in pieces)
    return {u.id: f"{ids[generator(seed, 'pair', u.id).integers(len(ids))]} 0" for u in test}


def pair_places(test: Iterable[Utterance], found: Sequence[Utterance], seed: int) -> dict[str, str]:
    """Draw a place for each utterance, a second before the end of a recording or earlier, all equally likely."""
    # Resampling may round a length either way.
    places = [floor(recording.duration * RATE + 1e-6) - RATE + 1 for recording in found]
    ends = np.cumsum(places)
    pairs = {}
    for utterance in test:
        place = int(generator(seed, "place", utterance.id).integers(ends[-1]))
        number = int(np.searchsorted(ends, place, side="right"))
        pairs[utterance.id] = f"{found[number].id} {place - ends[number] + places[number]}"
    return pairs


def pair_as_published(test: Iterable[Utterance], order: Iterable[str], found: Sequence[Utterance]) -> dict[str, str]:
    """Draw the places that the published script draws: one for each line of testing_list.txt, in its order.

    It seeds NumPy's old generator with 10 and draws below the recording's
    length at 16 kHz less two seconds; lines of words left out are drawn too.
    """
    if len(found) != 1:
        raise InputError(f"the published placement needs one recording and there are {len(found)}; use QUT-NOISE")
    length = ceil(found[0].duration * RATE - 1e-6)
    if length <= 2 * RATE:
        raise InputError(
            f"{found[0].audio} lasts {length / RATE:.1f} s, and the published placement needs more than 2; "
            "give a longer recording, or leave out qut_placement"
        )
    random = np.random.RandomState(10)
    starts = {utterance_id(line): random.randint(0, length - 2 * RATE) for line in order}
    return {u.id: f"{found[0].id} {starts[u.id]}" for u in test}
