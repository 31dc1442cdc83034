"""Speech Commands v0.02: one-second clips of 35 words (CC BY 4.0).

On disk: `<root>/<word>/<speaker>_nohash_<n>.wav`, 16 kHz, mono, one second
or shorter; `<root>/validation_list.txt` and `testing_list.txt`, one
`<word>/<file>` a line, all other clips being for training; and
`<root>/_background_noise_/`, six long recordings.  The archive has no folder
around these.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from salience.audio import BadAudio
from salience.corpora import download
from salience.corpora.clips import BadClips, mono_duration
from salience.corpora.labels import text_lines
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import visible

WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go",
    "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven",
    "sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)  # fmt: skip
"""Of the whole corpus."""

COUNTS = {"train": 84843, "dev": 9981, "test": 11005}
"""Clips of the whole corpus."""

LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
CORPUS = download.Corpus(
    "speech_commands", "speech-commands", tuple(LISTS.values()), download.release("speech_commands")
)
find_root, fetch = CORPUS.find_root, CORPUS.fetch

RATE = 16000
SHORTEST = 257
"""Samples: a window of 512 reflects 256 of them about its first, which is not among those."""

NAME = re.compile(r"(?P<speaker>[0-9A-Za-z]+)_nohash_(?P<number>[0-9]+)\.wav")
PATH = re.compile(rf"(?P<word>[^/\s]+)/{NAME.pattern}")


def background(root: Path) -> Path:
    """The folder of the corpus' own long recordings of noise."""
    folder = find_root(root) / "_background_noise_"
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; unpack the corpus again, or give noise of your own")
    return folder


def words_in(root: Path) -> list[str]:
    """The words that have a folder, in the order of the alphabet."""
    return [path.name for path in visible(root.iterdir()) if path.is_dir() and path.name[0] != "_"]


def utterance_id(path: str) -> str:
    """`<speaker>-<word>-<n>` of `<word>/<speaker>_nohash_<n>.wav`."""
    parts = parts_of(path)
    return f"{parts['speaker']}-{parts['word']}-{parts['number']}"


def parts_of(path: str) -> re.Match[str]:
    """The `word`, `speaker` and `number` of a clip that `listed` or `clips` has named."""
    parts = PATH.fullmatch(path)
    assert parts is not None
    return parts


def listed(path: Path) -> list[str]:
    """The `<word>/<file>` of a list, in its order.

    A line of another form, and one that appears twice, is an InputError.
    """
    found: dict[str, int] = {}
    for number, line in text_lines(path):
        name = line.strip()
        if not name:
            continue
        if PATH.fullmatch(name) is None:
            raise InputError(
                f"{path}:{number} is {name!r} instead of a path <word>/<speaker>_nohash_<n>.wav; correct the line"
            )
        if name in found:
            raise InputError(f"{path}:{number} repeats {name} of line {found[name]}; remove one of the two")
        found[name] = number
    return list(found)


def clips(root: Path, words: Collection[str] | None = None) -> dict[str, list[str]]:
    """The `<word>/<file>` of each split (train, dev, test), of these `words` or all; no file is opened.

    A clip that a list names and that is missing is among them.  InputErrors:
    a word without a folder, a folder without clips or with white space in its
    name, a clip of another name, a clip in both lists.
    """
    root = find_root(root)
    present = words_in(root)
    chosen = present if words is None else sorted(set(words))
    for word in chosen:
        if word not in present:
            raise InputError(f"{root} has no folder {word}; choose among {' '.join(present)} with --words")
    if not chosen:
        raise InputError(f"{root} holds no folder of a word; unpack the corpus again")
    found: set[str] = set()
    for word in chosen:
        if len(word.split()) != 1:
            raise InputError(f"{root / word} has white space in its name, which no word may have; rename the folder")
        names = [path.name for path in visible((root / word).glob("*.wav"))]
        if not names:
            raise InputError(
                f"{root / word} holds no .wav file; unpack the corpus again, or remove the folder"
                " and choose the other words with --words"
            )
        for name in names:
            if NAME.fullmatch(name) is None:
                raise InputError(f"{root / word / name} is not named <speaker>_nohash_<n>.wav; rename or remove it")
        found.update(f"{word}/{name}" for name in names)
    splits: dict[str, list[str]] = {}
    for split, file in LISTS.items():
        # Lists of the whole corpus name clips of words that nobody asked for.
        splits[split] = [n for n in listed(root / file) if words is None or n.split("/", 1)[0] in chosen]
        for name in splits[split]:
            if name.split("/", 1)[0] not in chosen:
                raise InputError(
                    f"{root / name} does not exist, which {root / file} names; unpack the corpus again, "
                    "take the line out, or choose the words that are here with --words"
                )
    for name in sorted(set(splits["dev"]) & set(splits["test"])):
        raise InputError(
            f"{root / LISTS['test']} names {name}, and so does {root / LISTS['dev']}; take it out of one of them"
        )
    rest = found.difference(splits["dev"], splits["test"])
    return {"train": sorted(rest), "dev": splits["dev"], "test": splits["test"]}


def utterances(root: Path, words: Collection[str] | None = None, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The clips for training, then dev, then test, each sorted by id; see `clips` for the InputErrors.

    `split` says which; the text is the word.  Clips that `clip_duration` does
    not take are left to `bad`; without it, they are InputErrors.
    """
    root, bad = find_root(root), bad or BadClips()
    for split, names in clips(root, words).items():
        found = []
        for key, name in sorted((utterance_id(name), name) for name in names):
            # A word may have the `-` that parts an id.
            parts = parts_of(name)
            found.append(Utterance.file(key, parts["speaker"], root / name, parts["word"], split=split, language="en"))
        yield from bad.usable(found, measure=clip_duration)


def clip_duration(path: Path) -> float:
    """Seconds of a clip, after its header was found to be that of one.

    A file that is missing, damaged, not mono at 16 kHz, longer than a second,
    or too short for a spectrogram is a BadAudio error.
    """
    seconds = mono_duration(path, RATE)
    samples = round(seconds * RATE)
    if samples > RATE:
        raise BadAudio(path, f"lasts {samples} samples, longer than a second ({RATE})", "cut it, or remove it")
    if samples < SHORTEST:
        remedy = "remove it, also from the list that may name it"
        raise BadAudio(path, f"lasts {samples} samples, too short for a spectrogram ({SHORTEST})", remedy)
    return seconds
