"""Common Voice, scripted speech of many languages, in every form that it comes in; and the CommonAccent selection.

On disk, where `root` is `cv-corpus-<version>-<date>/<language>` or wherever
the user put it:

- a release: `<root>/{validated,train,dev,test,...}.tsv` and `<root>/clips/*.mp3`;
- a delta segment, which holds what came since the release before, or a copy
  with some of the tables only: the same without train, dev and test;
- release 1, of English only: `<root>/cv-valid-{train,dev,test}.csv` and
  `<root>/cv-valid-dev/sample-000000.mp3`.  It does not say who speaks.

A folder with several of them is taken for one corpus.

The .tsv tables are separated by tabs and never quoted; which columns they have
depends on the release.  Releases need a login, so nothing is downloaded here.

CommonAccent names several lists that no longer can be had or that share
speakers between their sets.  Ours is drawn anew from whichever English release
the user has: the sixteen labels of the published classifier, at most 100 clips
of each in each set, no speaker in two sets, one seed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from sys import intern

from more_itertools import map_reduce

from salience.corpora import download
from salience.corpora.clips import BadClips
from salience.corpora.labels import fields_of, read_labels
from salience.corpora.sets import Sets
from salience.corpora.splits import split_speakers, spread
from salience.data.records import Utterance
from salience.data.tables import number as parse_number
from salience.data.text import clean
from salience.errors import InputError
from salience.files import visible
from salience.randomness import generator

COMMON_ACCENT_TABLE = Path(__file__).with_name("commonaccent_labels.tsv")

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")

GENDERS = {"male": "m", "male_masculine": "m", "female": "f", "female_feminine": "f"}

LISTS = ("train", "dev", "test")

FIRST_RELEASE = {
    "validated": ("cv-valid-train", "cv-valid-dev", "cv-valid-test"),
    "train": ("cv-valid-train",),
    "dev": ("cv-valid-dev",),
    "test": ("cv-valid-test",),
    "other": ("cv-other-train", "cv-other-dev", "cv-other-test"),
    "invalidated": ("cv-invalid",),
}
"""The tables of later releases, and what holds the same in release 1."""

UNLABELLED = "unlabelled"
"""The label of clips whose speaker states no accent that has one, or several."""

FIRST_COLUMNS = {"filename": "path", "text": "sentence"}
"""Columns of release 1 that have another name since."""

COLUMNS = (
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes",
    "age", "gender", "accents", "variant", "locale", "segment",
)  # fmt: skip
"""Since release 17."""
KNOWN_COLUMNS = frozenset((*COLUMNS, "accent"))
"""The columns of all releases since the second."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A row of a table; what a contributor left blank, or the release has no column for, is empty.

    `path` is below `clips`; with a folder in it, it is below the root.
    """

    client: str
    path: str
    sentence: str
    accent: str
    gender: str
    variant: str
    locale: str

    @property
    def name(self) -> str:
        """The path as part of an id."""
        return "-".join(Path(self.path).with_suffix("").parts)

    @property
    def speaker(self) -> str:
        """A short name of the contributor: 64 of the 512 bits of `client_id`.  Without one, the clip has its own."""
        return self.client[:16] or self.name

    @property
    def id(self) -> str:
        """The clip as an utterance of its speaker."""
        return f"{self.speaker}-{self.name}" if self.client else self.name

    def audio(self, root: Path) -> Path:
        """Where the clip lies."""
        return root / self.path if "/" in self.path else root / "clips" / self.path


def find_releases(folder: Path, language: str) -> list[Path]:
    """The roots of all releases and delta segments of a language in `folder`, or of the one that `folder` is.

    They are the first that are found of: `folder`; `<language>` in it;
    `cv-corpus-*/<language>` in it, each of which must be one; its folders of
    any name that hold the language.  None, or one in another language, is an
    InputError.
    """
    hint = (
        f"give the folder cv-corpus-<version>-<date>/{language} with --common-voice-root or its archive "
        "with --common-voice-archive"
    )
    inside = visible(path for path in folder.glob("*") if path.is_dir())
    releases = [path / language for path in inside if path.name.startswith("cv-corpus-") and (path / language).is_dir()]
    for path in (folder, folder / language):
        if _is_release(path):
            releases = [path]
            break
    for path in releases:
        if not _is_release(path):
            raise InputError(f"{path} holds no validated.tsv beside clips/; {hint}")
        if (spoken := _language(path)) not in ("", language):
            raise InputError(f"{path} is in the language {spoken!r}, not in {language!r}; {hint}")
    releases = releases or [path for path in inside if _is_release(path) and _language(path) in ("", language)]
    if not releases:
        raise InputError(f"{folder} holds no validated.tsv beside clips/, in the language {language!r}; {hint}")
    return releases


def _is_release(folder: Path) -> bool:
    tables = [path for name in FIRST_RELEASE for path in table_paths(folder, name)]
    return any(path.suffix == ".csv" for path in tables) or (bool(tables) and (folder / "clips").is_dir())


def _language(root: Path) -> str:
    """The language of the first clip; empty where no clip says one."""
    path = next(path for name in FIRST_RELEASE for path in table_paths(root, name))
    clip = next(clips(path), None)
    return "en" if path.suffix == ".csv" else clip.locale if clip else ""


def find_root(folder: Path, language: str = "en", several: bool = True) -> Path:
    """The root of the only release in `folder`.  Where it holds several, that is `folder` itself, or an InputError."""
    releases = find_releases(folder, language)
    if len(releases) > 1 and not several:
        names = ", ".join(str(path.relative_to(folder)) for path in releases)
        raise InputError(f"{folder} holds {len(releases)} releases ({names}); give the folder of one of them")
    return releases[0] if len(releases) == 1 else folder


def fetch(target: Path, archive: Path | None = None, language: str = "en", several: bool = True) -> Path:
    """Unpack the user's `archive`, or all the archives of a folder, below `target`; returns what find_root does.

    Without an archive this is an InputError: Common Voice needs a login.
    """
    if archive is None:
        raise InputError(
            "Common Voice cannot be downloaded by a program: log in at "
            "https://datacollective.mozillafoundation.org, then give the folder with --common-voice-root "
            "or the archive with --common-voice-archive"
        )
    found = [Path(archive)]
    if found[0].is_dir():
        found = visible(path for path in found[0].iterdir() if path.name.endswith(ARCHIVES))
        if not found:
            raise InputError(f"{archive} holds no archive; give the folder of cv-corpus-*-{language}.tar.gz")
    with download.whole_folder(target / "common_voice") as folder:
        for path in found:
            download.unpack(path, folder)
        find_root(folder, language, several)
    return find_root(target / "common_voice", language, several)


def release_name(root: Path) -> str:
    """A release's name: that of the folder above the language."""
    return root.absolute().parent.name


def table_paths(root: Path, table: str) -> list[Path]:
    """The files that hold a table of this name: one, or several of release 1, or none."""
    names = (f"{table}.tsv", *(f"{name}.csv" for name in FIRST_RELEASE.get(table, ())))
    return [path for path in (root / name for name in names) if path.is_file()]


def all_tables(root: Path) -> list[Path]:
    """All files that tell of the clips of a release, or of several: if one of them changes, so does the corpus."""
    places = [root] if _is_release(root) else find_releases(root, "en")
    return visible(path for place in places for end in ("*.tsv", "*.csv") for path in place.glob(end))


def clips(table: Path, columns: Collection[str] | None = None) -> Iterator[Clip]:
    """The rows of a file in their order; one with more or fewer fields than the header is an InputError.

    With `columns`, so is a column that is not among them.
    """
    first = table.suffix == ".csv"
    rows = fields_of(table, commas=first)
    _, header = next(rows, (0, []))
    header = [FIRST_COLUMNS.get(name, name) for name in header] if first else header
    for name in ("path", "sentence") if first else ("client_id", "path", "sentence"):
        if name not in header:
            raise InputError(f"{table} has no column {name}; unpack the corpus again")
    unknown = [] if columns is None else [name for name in header if name not in columns]
    if unknown:
        raise InputError(
            f"{table} has the column {unknown[0]!r}, which no release known here has; take it out, "
            "or let it pass with --other-columns"
        )
    place = {name: number for number, name in enumerate(header)}
    # The column `accent` became `accents` around release 8.  A missing column is read as the blank behind all fields.
    wanted = [
        place.get(name, len(header))
        for name in ("client_id", "path", "sentence", "accents", "accent", "gender", "variant", "locale")
    ]
    for number, fields in rows:
        if len(fields) != len(header):
            # Legal in a sentence; but a program that quotes may have broken the row at one.
            open_quotation = not first and "\t".join(fields).count('"') % 2
            quotation = " and opens a quotation that it does not close" if open_quotation else ""
            raise InputError(
                f"{table}:{number} has {len(fields)} fields instead of {len(header)}{quotation}; "
                "unpack the corpus again"
            )
        fields.append("")
        client, path, sentence, accents, accent, gender, variant, locale = (fields[place] for place in wanted)
        if first and "/" not in path:
            path = f"{table.stem}/{path}"
        # Interned: a contributor's hundreds of rows share one string.
        yield Clip(
            intern(client), path, sentence, intern(accents or accent), intern(gender), intern(variant), intern(locale)
        )


def rows(root: Path, table: str) -> Iterator[Clip]:
    """The rows of a table of a release, of all the files that hold it; none of them is an InputError.

    Of a folder with several English releases, the rows of each, with paths
    that begin at the folder; those that an earlier one has are left out.
    """
    paths = table_paths(root, table)
    releases = [] if paths or _is_release(root) else find_releases(root, "en")
    if not paths and not releases:
        raise InputError(f"{root} has no {table}.tsv; unpack the corpus again, or give another release")
    for path in paths:
        yield from clips(path)
    seen: set[tuple[str, str]] = set()
    for release in releases:
        new = [clip for clip in rows(release, table) if (clip.client, clip.path) not in seen]
        seen |= {(clip.client, clip.path) for clip in new}
        for clip in new:
            inside = clip.path if "/" in clip.path else f"clips/{clip.path}"
            yield replace(clip, path=f"{release.relative_to(root)}/{inside}")


def durations(root: Path) -> dict[str, float]:
    """Clip to seconds as `clip_durations.tsv` says; empty for releases without that file."""
    path = root / "clip_durations.tsv"
    found: dict[str, float] = {}
    for number, fields in fields_of(path) if path.exists() else ():
        if number == 1:
            continue
        milliseconds = parse_number(fields[1]) if len(fields) == 2 else None
        if milliseconds is None or milliseconds < 0:
            raise InputError(f"{path}:{number} is not a clip and its milliseconds; unpack the corpus again")
        found[fields[0]] = milliseconds / 1000
    return found


def told(root: Path, found: Iterable[Clip]) -> dict[str, float]:
    """Seconds of these clips' utterances as `clip_durations.tsv` says, as far as it does."""
    known = durations(root)
    return {clip.id: known[clip.path] for clip in found if clip.path in known}


def accent_label(answer: str, labels: Mapping[str, str]) -> str | None:
    """The label of an answer that is in the table as a whole, or of several, separated by `|`, that have the same one.

    What is separated by commas is not several answers: the names themselves
    contain commas, and contributors add their own words after one.
    """
    found = {labels.get(part.strip()) for part in answer.split("|") if part.strip()}
    return found.pop() if len(found) == 1 else None


def utterance(root: Path, clip: Clip, label: str | None = None, split: str | None = None) -> Utterance:
    """The record of a clip that was not measured, its sentence cleaned; a path out of the corpus is an InputError."""
    if clip.path.startswith("/") or ".." in clip.path.split("/"):
        raise InputError(f"{root}: a table names the clip {clip.path}, which is outside the corpus; correct its row")
    return Utterance.file(
        clip.id, clip.speaker, clip.audio(root), clean(clip.sentence),
        accent=label, gender=GENDERS.get(clip.gender), split=split, language=clip.locale or None,
    )  # fmt: skip


def utterances(
    root: Path,
    table: str = "validated",
    labels: Mapping[str, str] | None = None,
    excluded: Counter[str] | None = None,
    bad: BadClips | None = None,
) -> Iterator[Utterance]:
    """The clips of one table, sorted by id; `labels` turns what the accent column says into a label.

    Clips without a sentence are left out, and counted in `excluded`.  Bad
    audio is left to `bad`; without it, that is an InputError.
    """
    found = list(_spoken(rows(root, table), Counter() if excluded is None else excluded))
    yield from _measured(root, found, table, labels or {}, bad or BadClips())


def _spoken(found: Iterator[Clip], excluded: Counter[str]) -> Iterator[Clip]:
    for clip in found:
        if clean(clip.sentence):
            yield clip
        else:
            excluded["Common Voice clips without a sentence"] += 1


def _measured(
    root: Path, found: Sequence[Clip], split: str, labels: Mapping[str, str], bad: BadClips
) -> list[Utterance]:
    found = sorted(found, key=lambda clip: clip.id.encode())
    return bad.usable(
        (utterance(root, clip, accent_label(clip.accent, labels), split) for clip in found), told(root, found)
    )


def has_lists(root: Path) -> bool:
    """Whether a release has its official train, dev and test; some of them only are an InputError."""
    absent = [name for name in LISTS if not table_paths(root, name)]
    if 0 < len(absent) < len(LISTS):
        raise InputError(
            f"{root} has no {absent[0]}.tsv, but others of {', '.join(f'{name}.tsv' for name in LISTS)}; "
            "complete them, or remove them all to have validated.tsv split by speaker"
        )
    return not absent


def split_sets(
    root: Path,
    seed: int = 0,
    tables: Sequence[str] = ("validated",),
    dev: float = 0.1,
    test: float = 0.1,
    excluded: Counter[str] | None = None,
    bad: BadClips | None = None,
) -> dict[str, list[Utterance]]:
    """The sets train, dev and test: the official ones of a release that has them.

    Of a delta segment, which has none, the shares `dev` and `test` of the
    speakers of `tables`, drawn from their names and the seed.
    """
    if has_lists(root):
        return {name: list(utterances(root, name, excluded=excluded, bad=bad)) for name in LISTS}
    every = [found for table in tables for found in utterances(root, table, excluded=excluded, bad=bad)]
    chosen = split_speakers({u.speaker: "" for u in every}, {}, seed, dev, test)
    return {name: [u for u in every if chosen[u.speaker] == name] for name in LISTS}


def about_split(root: Path, tables: Sequence[str]) -> str:
    """What a report says of the sets of `split_sets`."""
    if has_lists(root):
        return "Common Voice: the split is that of train.tsv, dev.tsv and test.tsv"
    return (
        f"Common Voice: {root} has no train.tsv, dev.tsv and test.tsv, like a delta segment; "
        f"the clips of {' and '.join(f'{name}.tsv' for name in tables)} were split by speaker"
    )


def add_accent_sets(
    sets: Sets,
    root: Path,
    labels: Mapping[str, str],
    standard: Collection[str],
    asked: Collection[str],
    max_clips: int,
    seed: int,
) -> None:
    """Add asr_train, asr_dev, standard and accented, made of the validated clips, no speaker in two of them.

    The speakers of each accent in `standard` and `asked` are split; their
    train and dev shares are asr_train and asr_dev as far as `asked` names the
    accent.  `standard` is the test share of those accents, `accented` that of
    all others, of which most are there as a whole.  UNLABELLED among `asked`
    adds all who state none of the labels, or several, to asr_train.  Whom the
    tests hold of the accents in `standard` does not depend on `asked`.

    Args:
        sets: what they are added to
        root: an English release
        labels: what the accent column says, to its label
        standard: labels
        asked: labels to train with
        max_clips: maximum number of clips of a speaker in any set
        seed: random seed of every choice
    """
    if unknown := sorted({*asked, *standard} - {*labels.values(), UNLABELLED}):
        known = ", ".join(sorted({*labels.values()}))
        raise InputError(
            f"no clip of Common Voice can have the accent {unknown[0]!r}; choose from {known}, {UNLABELLED}"
        )
    clips_of = map_reduce(utterances(root, "validated", labels, sets.excluded, sets.bad), attrgetter("speaker"))
    stated = {speaker: {clip.accent for clip in own} - {None} for speaker, own in clips_of.items()}
    label = {speaker: found.pop() if len(found) == 1 else UNLABELLED for speaker, found in stated.items()}
    parted = {speaker: accent for speaker, accent in label.items() if accent in {*standard, *asked} - {UNLABELLED}}
    chosen = split_speakers(parted, {}, seed, dev=0.15, test=0.25)
    new: dict[str, list[Utterance]] = {name: [] for name in ("asr_train", "asr_dev", "standard", "accented")}
    for speaker, own in sorted(clips_of.items()):
        accent = label[speaker]
        part = chosen.get(speaker, "train" if accent == UNLABELLED else "test")
        name = f"asr_{part}" if part != "test" else "standard" if accent in standard else "accented"
        if part != "test" and accent not in asked:
            sets.excluded["Common Voice clips of accents that the recogniser is not trained with"] += len(own)
            continue
        drawn = sets.capped(own, max_clips, seed)
        new[name] += [replace(clip, accent=accent) for clip in drawn]
    sets.found |= new


def common_accent(
    root: Path,
    seed: int = 0,
    per_accent: int = 100,
    sets: Sequence[str] = ("test", "dev"),
    excluded: Counter[str] | None = None,
    bad: BadClips | None = None,
) -> dict[str, list[Utterance]]:
    """Draw CommonAccent from the validated clips of an English release.

    The accent must be one of COMMON_ACCENT_TABLE exactly.  The speakers of an
    accent, in an order that `seed` decides, are dealt to `sets` in turn; a set
    then takes one clip of each of its speakers, a second of each, and so on to
    `per_accent`, so that no voice prevails.  A speaker who states two of the
    accents in different clips has none.  Each set is sorted by id.  What has
    no accent is counted in `excluded`.  Only drawn clips are opened; bad
    audio among them is left to `bad`, or an InputError.  Where that is to be
    skipped, others are drawn instead.
    """
    bad = bad or BadClips()
    labels = read_labels(COMMON_ACCENT_TABLE)
    excluded = Counter() if excluded is None else excluded
    by_speaker: dict[str, list[Clip]] = {}
    stated: dict[str, set[str]] = {}
    for clip in _spoken(rows(root, "validated"), excluded):
        label = accent_label(clip.accent, labels)
        if label is not None:
            by_speaker.setdefault(clip.speaker, []).append(clip)
            stated.setdefault(clip.speaker, set()).add(label)
        elif clip.accent.strip():
            excluded["Common Voice clips with an accent that has no label"] += 1
        else:
            excluded["Common Voice clips without an accent"] += 1
    for speaker in [name for name, found in stated.items() if len(found) > 1]:
        excluded["Common Voice clips of a speaker who states several accents"] += len(by_speaker.pop(speaker))
    dealt: list[tuple[str, list[str]]] = []
    for label in sorted(set(labels.values())):
        speakers = [name for name in sorted(by_speaker) if stated[name] == {label}]
        speakers.sort(key=lambda name: generator(seed, label, name).random())
        dealt += [(name, speakers[turn :: len(sets)]) for turn, name in enumerate(sets)]
    usable: dict[str, Utterance] = {}
    while True:
        drawn = {
            clip.id: (clip, name)
            for name, speakers in dealt
            for clip in spread(
                {speaker: by_speaker[speaker] for speaker in speakers}, per_accent, seed, attrgetter("path")
            )
        }
        for name in sets:
            new = [clip for clip, of_set in drawn.values() if of_set == name and clip.id not in usable]
            usable |= {utterance.id: utterance for utterance in _measured(root, new, name, labels, bad)}
        lost = [clip for clip, _ in drawn.values() if clip.id not in usable]
        if not lost or not bad.skip:
            break
        # Another clip is drawn for each that cannot be used.
        for clip in lost:
            by_speaker[clip.speaker].remove(clip)
    ordered = sorted(usable.keys() & drawn.keys(), key=str.encode)
    return {name: [usable[key] for key in ordered if drawn[key][1] == name] for name in sets}
