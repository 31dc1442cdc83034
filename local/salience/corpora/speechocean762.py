"""speechocean762: read English of 250 people whose first language is Mandarin, half of them children.

From https://www.openslr.org/101 (free for commercial and other use).

On disk: the Kaldi directories `<root>/train` and `<root>/test`, whose `wav.scp` has paths below `<root>`
(`WAVE/SPEAKER0003/000030012.WAV`), with `spk2age` and `spk2gender`; some of the tables are separated by tabs.
Releases with `<root>/resource/scores.json` say how experts judged each utterance; copies may lack it.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import keyed
from salience.corpora.sets import Sets, at_most
from salience.data.records import Utterance
from salience.data.tables import number, read_table, write_table
from salience.errors import InputError
from salience.files import read_json

CORPUS = download.Corpus(
    "speechocean762", "speechocean762", ("WAVE/", "train/wav.scp", "test/wav.scp"), download.release("speechocean762")
)
find_root, fetch = CORPUS.find_root, CORPUS.fetch
PARTS = ("train", "test")
ADULT = 16
"""Years from which a speaker is an adult."""
SCORES = Path("resource/scores.json")


def utterances(root: Path, parts: Sequence[str] = PARTS, bad: BadClips | None = None) -> Iterator[Utterance]:
    """The utterances of `parts`, part by part, sorted by id; `accent` is `adult` or `child`, `split` the part.

    The speaker is `so<nnnn>`, the id `<speaker>-<the corpus' id>`.  Text is
    upper case as published.  An utterance without text, speaker or age is an
    InputError.  Bad audio is left to `bad`; without it, that is an InputError,
    too.
    """
    root, bad = find_root(root), bad or BadClips()
    for part in parts:
        wav, text, speakers, ages, genders = (
            keyed(root / part / name) for name in ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")
        )
        found = []
        for key, path in wav.items():
            speaker = _value(speakers, key, root / part / "utt2spk")
            years = number(_value(ages, speaker, root / part / "spk2age"))
            if years is None:
                raise InputError(f"{root / part / 'spk2age'}: the age of {speaker} is not a number; correct its line")
            found.append(
                Utterance.file(
                    f"so{speaker}-{key}", f"so{speaker}", root / path, _value(text, key, root / part / "text"),
                    accent="adult" if years >= ADULT else "child", gender=genders.get(speaker), split=part,
                    language="en",
                )
            )  # fmt: skip
        yield from bad.usable(sorted(found, key=lambda utterance: utterance.id.encode()))


def add_sets(sets: Sets, root: Path, test_limit: int | None, dev_limit: int, seed: int) -> None:
    """Add mandarin_adult and mandarin_child, of test, and mandarin_dev, of train; all speakers alike."""
    found = list(utterances(root, bad=sets.bad))
    for age in ("adult", "child"):
        own = [utterance for utterance in found if utterance.split == "test" and utterance.accent == age]
        sets.found[f"mandarin_{age}"] = at_most(own, test_limit, seed)
    sets.found["mandarin_dev"] = at_most([u for u in found if u.split == "train"], dev_limit, seed)


def write_scores(root: Path, folders: Iterable[Path]) -> None:
    """Write utt2score, the experts' total score, in those of the data directories whose utterances all have one."""
    judged = scores(root)
    for folder in folders:
        keys = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
        found = {key: judged.get(key.partition("-")[2]) for key in keys}
        table = {key: f"{total:g}" for key, total in found.items() if total is not None}
        if table and len(table) == len(keys):
            write_table(folder / "utt2score", table)
        else:
            (folder / "utt2score").unlink(missing_ok=True)


def scores(root: Path) -> dict[str, float]:
    """The corpus' id of an utterance to the experts' total score, 0 to 10; empty where the copy has none."""
    path = find_root(root) / SCORES
    if not path.is_file():
        return {}
    read = read_json(path)
    found = {}
    for key, judged in read.items() if isinstance(read, dict) else [("", None)]:
        total = judged.get("total") if isinstance(judged, dict) else None
        if not isinstance(total, int | float):
            raise InputError(f"{path} has no total score of {key or 'any utterance'}; unpack the corpus again")
        found[key] = float(total)
    return found


def _value(table: dict[str, str], key: str, path: Path) -> str:
    if not table.get(key):
        raise InputError(f"{path} has no line for {key}; unpack the corpus again")
    return table[key]
