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
from salience.corpora import download
from salience.corpora.clips import BadClips, mono_duration
from salience.corpora.labels import text_lines
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below

RATE = 16000
ENDINGS = (".sph", ".wav", ".raw")
"""In the order in which they are looked for; `.raw` files do not say what they hold."""

LINE = re.compile(r"(?:<s>\s)?(?P<words>[^<>()]*)(?:</s>\s*)?\((?P<name>[^()\s]*)\)")


def with_headers(root: Path, target: Path) -> Path:
    """`root`, or for a headerless release a copy of it in `target`/an4 whose audio is WAV."""
    if not _headerless(root):
        return root
    with download.whole_folder(target / "an4") as folder:
        hidden = shutil.ignore_patterns("._*")
        shutil.copytree(root, folder, ignore=hidden, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        _write_headers(folder)
    return target / "an4"


def _headerless(root: Path) -> list[Path]:
    return [path for path in files_below(root / "wav") if path.suffix == ".raw"]


def _write_headers(root: Path) -> None:
    """Replace each `.raw` below `root` by a `.wav`; one that is damaged stays, for `utterances` to find."""
    paths = [path for path in _headerless(root) if _is_whole(path)]
    order = byte_order(paths)
    for path in paths:
        write_audio(path.with_suffix(".wav"), _samples(path, order).astype(np.int16), RATE, subtype="PCM_16")
        path.unlink()


CORPUS = download.Corpus("an4", "an4", ("etc/an4_train.fileids",), download.release("an4"), _write_headers)
find_root, fetch = CORPUS.find_root, CORPUS.fetch


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
    return Utterance.file(key, speaker, path, text, split=split, language="en")


def clip_duration(path: Path) -> float:
    """Seconds of an utterance; a file that is missing, damaged, or not mono at 16 kHz is a BadAudio error."""
    if path.suffix == ".raw":
        if not _is_whole(path):
            remedy = f"fetch it again, remove the copy in {path.parents[3]} and fetch the corpus again"
            raise BadAudio(path, f"is empty or truncated ({path.stat().st_size} bytes)", remedy)
        raise BadAudio(path, "has no header", "fetch the corpus again, which writes WAV copies")
    return mono_duration(path, RATE)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not empty."""
    return ((number, line.strip()) for number, line in text_lines(path) if line.strip())


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
