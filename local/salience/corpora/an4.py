"""AN4, Carnegie Mellon's census corpus: spelled words, numbers and control words (free for any purpose).

On disk: `<root>/etc/an4_{train,test}.fileids` and `.transcription`, and
`<root>/wav/{an4_clstk,an4test_clstk}/<speaker>/<name>` with the ending `.sph`
(NIST sphere release), `.wav` (RIFF copies) or `.raw` (the two headerless
releases, 16-bit, big or little endian).  A name is `an251-fash-b`: the
number of the sentence, the speaker, the kind of microphone.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from os.path import isfile
from pathlib import Path

import numpy as np

from salience.audio import BadAudio, write_audio
from salience.corpora import download, mini, voices
from salience.corpora.clips import BadClips, mono_duration
from salience.corpora.espeak import speak
from salience.corpora.records import UNKNOWN, Utterance
from salience.errors import InputError
from salience.files import files_below, foreign, visible
from salience.randomness import generator

RELEASE = download.Archive(
    "an4_sphere.tar.gz",
    (
        "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
        "http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
        "https://huggingface.co/datasets/espnet/an4/resolve/main/an4_sphere.tar.gz",
    ),
    sha256="a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
)

RATE = 16000
ENDINGS = (".sph", ".wav", ".raw")
"""In the order in which they are looked for; `.raw` files do not say what they hold."""

LINE = re.compile(r"(?:<s>\s)?(?P<words>[^<>()]*)(?:</s>\s*)?\((?P<name>[^()\s]*)\)")


def find_root(folder: Path) -> Path:
    """The folder with `etc/an4_train.fileids`: `folder` or one in it."""
    folder = Path(folder)
    for candidate in (folder, *(visible(folder.iterdir()) if folder.is_dir() else ())):
        if (candidate / "etc" / "an4_train.fileids").is_file():
            return candidate
    raise InputError(
        f"{folder} holds no etc/an4_train.fileids; give the corpus' folder with --an4-root "
        "or its archive with --an4-archive"
    )


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive`, or download the release, into `target`/an4; returns the corpus root."""
    target = Path(target)
    file = download.obtain(RELEASE, target, archive, "--an4-root or --an4-archive")
    with download.whole_folder(target / "an4") as folder:
        download.unpack(file, folder)
        root = find_root(folder)
        _write_headers(root)
    if archive is None:
        file.unlink()
    return find_root(target / "an4")


def with_headers(root: Path, target: Path) -> Path:
    """`root`, or for a headerless release a copy of it in `target`/an4 whose audio is WAV."""
    if not _headerless(root):
        return root
    with download.whole_folder(Path(target) / "an4") as folder:
        hidden = shutil.ignore_patterns("._*")
        shutil.copytree(root, folder, ignore=hidden, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        _write_headers(folder)
    return Path(target) / "an4"


def _headerless(root: Path) -> list[Path]:
    return [path for path in files_below(Path(root) / "wav") if path.suffix == ".raw"]


def _write_headers(root: Path) -> None:
    """Replace each `.raw` below `root` by a `.wav`; one that is damaged stays, for `utterances` to find."""
    paths = [path for path in _headerless(root) if _is_whole(path)]
    order = byte_order(paths)
    for path in paths:
        write_audio(path.with_suffix(".wav"), _samples(path, order).astype(np.int16), RATE, subtype="PCM_16")
        path.unlink()


def _is_whole(path: Path) -> bool:
    """Whether a headerless file holds whole samples."""
    size = path.stat().st_size if isfile(path) else 0
    return size > 0 and size % 2 == 0


def byte_order(paths: Iterable[Path]) -> str:
    """`<` or `>`: the order of the two bytes of a sample in headerless files of one release.

    Speech changes little from one sample to the next; read in the wrong
    order, it jumps.  All files are asked together.
    """
    jumps = dict.fromkeys("<>", 0.0)
    for path in paths:
        for order in jumps:
            jumps[order] += float(np.abs(np.diff(_samples(path, order).astype(np.int32))).sum())
    return min(jumps, key=jumps.__getitem__)


def _samples(path: Path, order: str) -> np.ndarray:
    return np.fromfile(path, dtype=f"{order}i2")


def utterances(root: Path, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The utterances of the training list, then those of the test list, each sorted by id.

    The id is `<speaker>-an251-b`, the order in which Kaldi and ESPnet put its
    parts; `split` is the list.  The text is upper case, without sentence
    marks.  What stands in one of list and transcription only is an
    InputError.  Audio that is missing, bad, or not mono at 16 kHz is left to
    `bad`; without it, that is an InputError, too.
    """
    root, bad = find_root(root), bad or BadClips()
    lists: dict[str, Path] = {}
    for split in ("train", "test"):
        fileids = root / "etc" / f"an4_{split}.fileids"
        transcription = root / "etc" / f"an4_{split}.transcription"
        listed = _listed(fileids)
        texts = _texts(transcription)
        for name in sorted(listed.keys() - texts.keys()):
            raise InputError(
                f"{transcription} has no line for {name}, which {fileids} lists; "
                "add the line, or take the name out of the list"
            )
        for name in sorted(texts.keys() - listed.keys()):
            raise InputError(
                f"{fileids} does not list {name}, which {transcription} has a line for; "
                "add the name, or take the line out"
            )
        for name in sorted(listed.keys() & lists.keys()):
            raise InputError(f"{fileids} lists {name}, and so does {lists[name]}; take it out of one of them")
        lists |= dict.fromkeys(listed, fileids)
        found = (_utterance(root, listed[name], texts[name], split) for name in listed)
        yield from bad.usable(sorted(found, key=lambda utterance: utterance.id), measure=clip_duration)


def _utterance(root: Path, listed: str, text: str, split: str) -> Utterance:
    number, speaker, kind = Path(listed).name.split("-")
    # with_suffix would take a dot of the name for an ending.
    paths = [root / "wav" / f"{listed}{ending}" for ending in ENDINGS]
    path = next((path for path in paths if isfile(path)), paths[0])
    key = f"{speaker}-{number}-{kind}"
    return Utterance(
        id=key, speaker=speaker, audio=path, text=text, duration=UNKNOWN, recording=key, split=split, language="en"
    )


def clip_duration(path: Path) -> float:
    """Seconds of an utterance; a file that is missing, damaged, or not mono at 16 kHz is a BadAudio error."""
    if path.suffix == ".raw":
        if not _is_whole(path):
            remedy = f"fetch it again, remove the copy in {path.parents[3]} and run stage 0 again"
            raise BadAudio(path, f"is empty or truncated ({path.stat().st_size} bytes)", remedy)
        raise BadAudio(path, "has no header", "run stage 0, which writes WAV copies")
    return mono_duration(path, RATE)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not empty."""
    with foreign(path, "is not UTF-8", "unpack the corpus again", "unpack the corpus again"):
        text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def _check_name(name: str, known: Iterable[str], where: str) -> None:
    if re.fullmatch(r"[^\s-]+-[^\s-]+-[^\s-]+", name) is None:
        raise InputError(f"{where} has the name {name!r} instead of one like an251-fash-b; correct the line")
    if name in known:
        raise InputError(f"{where} has {name} a second time; remove one of the two lines")


def _listed(path: Path) -> dict[str, str]:
    """Name to the path below `wav`, without ending."""
    listed: dict[str, str] = {}
    for number, line in _lines(path):
        name = line.rsplit("/", 1)[-1]
        _check_name(name, listed, f"{path}:{number}")
        listed[name] = line
    return listed


def _texts(path: Path) -> dict[str, str]:
    """Name to what is said.

    The training lines are `<s> YES </s> (an251-fash-b)`; the test lines lack
    the marks.
    """
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        parts = LINE.fullmatch(line)
        if parts is None or not parts["words"].strip():
            raise InputError(
                f"{path}:{number} is {line!r} instead of '<s> WORDS </s> (name)' or 'WORDS (name)'; correct the line"
            )
        _check_name(parts["name"], texts, f"{path}:{number}")
        texts[parts["name"]] = " ".join(parts["words"].upper().split())
    return texts


_LETTERS = {"a": "ay", "e": "ee", "m": "em", "o": "oh", "r": "are", "s": "ess"}
"""As espeak-ng must read them: it would say an article, and run others together."""

MINI_VOICES = tuple(voices.AccentVoice(voice.name, voice.is_really, _LETTERS) for voice in voices.STANDARD)
MINI_SPEAKERS = {"train": ("and", "bel", "cor", "cor2", "dun", "eva", "fin", "gil"), "test": ("hol", "kim2", "lux")}
"""What follows the letter of the gender in a speaker's name."""

_DIGITS = tuple(digit.upper() for digit in mini.DIGITS[1:7])
_SPELLED = ("A M E S", "E M M A", "M A R S", "R O M E O", "R O S E", "S A M")
MINI_TASKS = {
    "command": ((("GO", "HELP", "NO", "STOP", "YES"), 1, 1),),
    "enter": ((("ENTER",), 1, 1), (_DIGITS, 1, 2)),
    "erase": ((("ERASE",), 1, 1), (tuple(letter.upper() for letter in _LETTERS), 2, 3), (_DIGITS, 1, 2)),
    "spelled": ((_SPELLED, 1, 1),),
    "number": ((_DIGITS, 2, 5),),
}
"""What a speaker is asked to say: parts, each some words (from, to) of a list."""

MINI_SHEET = (
    "command", "command", "enter", "erase", "erase",
    "spelled", "spelled", "number", "spelled", "spelled", "number", "number",
)  # fmt: skip
"""The tasks of one speaker, as in the corpus: five called an, the others cen1, cen2 and so on."""


def synthesise(root: Path, seed: int = 0, test: int = 16) -> None:
    """Write a mini AN4 in sphere format at `root`.

    Eight speakers say a sheet of twelve sentences each for training, three
    others `test` sentences together.  Nineteen letters of the alphabet occur.
    """
    names = [(split, name) for split, own in MINI_SPEAKERS.items() for name in own]
    cast = voices.cast(MINI_VOICES, len(names), seed, "an4")
    speakers = [f"{speaker.gender}{name}" for speaker, (_, name) in zip(cast, names, strict=True)]
    lists: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    jobs = []
    left = test
    for number, ((split, _), name, speaker) in enumerate(zip(names, speakers, cast, strict=True)):
        random = generator(seed, "an4", "sheet", name)
        sheet = range(len(MINI_SHEET))
        if split == "test":
            # Shared evenly among those still to come.
            count = -(-left // (len(names) - number))
            left -= count
            sheet = sorted(int(place) for place in random.permutation(len(MINI_SHEET))[:count])
        for place in sheet:
            task = MINI_SHEET[place]
            words = [
                str(word)
                for choice, fewest, most in MINI_TASKS[task]
                for word in random.choice(choice, size=int(random.integers(fewest, most + 1)))
            ]
            sentence = f"an{20 * number + place + 1}" if place < 5 else f"cen{place - 4}"
            folder = "an4_clstk" if split == "train" else "an4test_clstk"
            lists[split].append((f"{folder}/{name}/{sentence}-{name}-b", " ".join(words)))
            spelled, voice = speaker.line(" ".join(words))
            # Who spells or counts pauses between the words.
            jobs.append((spelled.replace(" ", ", "), voice))
    with download.whole_folder(Path(root)) as folder:
        (folder / "etc").mkdir()
        for split, own in lists.items():
            begin, end = ("<s> ", " </s>") if split == "train" else ("", "")
            (folder / "etc" / f"an4_{split}.fileids").write_text("".join(f"{path}\n" for path, _ in own))
            (folder / "etc" / f"an4_{split}.transcription").write_text(
                "".join(f"{begin}{text}{end} ({Path(path).name})\n" for path, text in own)
            )
        spoken = speak(jobs, RATE)
        for (path, _), samples in zip((*lists["train"], *lists["test"]), spoken, strict=True):
            destination = folder / "wav" / f"{path}.sph"
            destination.parent.mkdir(parents=True, exist_ok=True)
            audio = voices.as_audio(_with_silence(samples, seed, path), seed, "an4", path)
            write_audio(destination, audio, RATE, subtype="PCM_16", format="NIST")
        (folder / "README").write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
        spoken_by = {
            f"{name} ({speaker.description})": speaker.accent for name, speaker in zip(speakers, cast, strict=True)
        }
        mini.write_note(folder, "AN4", voices.table(spoken_by))


def _with_silence(samples: np.ndarray, *names: object) -> np.ndarray:
    """Silence around it, as before and after the button is pressed; at least 1.5 s in all."""
    before, after = generator("an4", "silence", *names).integers(RATE // 5, 2 * RATE // 5, size=2)
    after = max(int(after), 3 * RATE // 2 - len(samples) - int(before))
    return np.pad(samples, (int(before), after))
