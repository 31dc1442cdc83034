"""Common Voice, scripted speech, and the CommonAccent selection from its English part.

On disk: `<root>/{validated,train,dev,test,...}.tsv` and `<root>/clips/*.mp3`,
where root is `cv-corpus-<version>-<date>/<language>`.  A delta segment
(`cv-corpus-<version>-delta-<date>`) holds what came since the release before
and may lack train, dev and test.  Tables are parted by tabs and never quoted.
Releases are given out after a login, so nothing is downloaded here.

CommonAccent names several lists that no longer can be had or that share
speakers between their sets.  Ours is drawn anew from whichever English release
the user has: the sixteen labels of the published classifier, at most 100 clips
of each in each set, no speaker in two sets, one seed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from os.path import isfile
from pathlib import Path
from sys import intern


from salience.corpora import download, mini, voices
from salience.corpora.espeak import speak
from salience.corpora.headers import audio_duration, write_audio
from salience.corpora.labels import number as parse_number
from salience.corpora.labels import read_labels, text_lines
from salience.corpora.records import Utterance
from salience.corpora.splits import spread
from salience.errors import InputError
from salience.randomness import generator

COMMON_ACCENT_TABLE = Path(__file__).with_name("commonaccent_labels.tsv")

GENDERS = {"male": "m", "male_masculine": "m", "female": "f", "female_feminine": "f"}


KNOWN_COLUMNS = frozenset((
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age", "gender",
    "accent", "accents", "variant", "locale", "segment",
))  # fmt: skip
"""The columns of all releases so far."""


@dataclass(frozen=True)
class Clip:
    """A row of a Common Voice table; what a contributor left blank is empty."""

    client: str
    path: str
    sentence: str
    accent: str
    gender: str
    variant: str
    locale: str

    @property
    def speaker(self) -> str:
        """A short name of the contributor: 64 of the 512 bits of `client_id`."""
        return self.client[:16]


def find_root(folder: Path, language: str = "en") -> Path:
    """The folder with `validated.tsv` and `clips`: `folder`, or `[cv-corpus-*/]<language>` in it."""
    folder = Path(folder)
    for candidate in (folder, folder / language, *sorted(folder.glob(f"cv-corpus-*/{language}"))):
        if (candidate / "validated.tsv").is_file() and (candidate / "clips").is_dir():
            return candidate
    raise InputError(
        f"{folder} holds no validated.tsv beside clips/; give the folder cv-corpus-<version>-<date>/{language} "
        "with --common-voice-root or its archive with --common-voice-archive"
    )


def fetch(target: Path, archive: Path | None = None, language: str = "en") -> Path:
    """Unpack the user's `archive` below `target`; returns the corpus root.

    Without an archive this is an InputError: Common Voice needs a login.
    """
    if archive is None:
        raise InputError(
            "Common Voice cannot be downloaded by a program: log in at "
            "https://datacollective.mozillafoundation.org, then give the folder with --common-voice-root "
            "or the archive with --common-voice-archive"
        )
    with download.whole_folder(Path(target) / "common_voice") as folder:
        download.unpack(Path(archive), folder)
        find_root(folder, language)
    return find_root(Path(target) / "common_voice", language)


def find_releases(folder: Path, language: str) -> list[Path]:
    """The roots of all releases and delta segments of a language in `folder`, or of the one that `folder` is.

    A folder that looks like a release and lacks validated.tsv or clips is an InputError.
    """
    folder = Path(folder)
    several = [path for path in sorted(folder.glob(f"cv-corpus-*/{language}")) if path.is_dir()]
    return [find_root(path, language) for path in several] or [find_root(folder, language)]


def release_name(root: Path) -> str:
    """A release's name: that of the folder above the language."""
    return Path(root).absolute().parent.name


def clips(table: Path, columns: Collection[str] | None = None) -> Iterator[Clip]:
    """The rows of a table in their order; one with more or fewer fields than the header is an InputError.

    With `columns`, so is a column that is not among them.
    """
    header: list[str] = []
    for number, line in text_lines(table):
        fields = line.split("\t")
        if not header:
            header = fields
            missing = {"client_id", "path", "sentence"} - set(header)
            if missing:
                raise InputError(f"{table} has no column {sorted(missing)[0]}; unpack the corpus again")
            unknown = [] if columns is None else [name for name in header if name not in columns]
            if unknown:
                raise InputError(
                    f"{table} has the column {unknown[0]!r}, which no release known here has; take it out, "
                    "or let it pass with --other-columns"
                )
            continue
        if len(fields) != len(header):
            # Legal in a sentence; but a program that quotes may have broken the row at one.
            quotation = " and opens a quotation that it does not close" if line.count('"') % 2 else ""
            raise InputError(
                f"{table}:{number} has {len(fields)} fields instead of {len(header)}{quotation}; "
                "unpack the corpus again"
            )
        row = dict(zip(header, fields, strict=True))
        # The column `accent` became `accents` around release 8.
        accent = row.get("accents") or row.get("accent") or ""
        # Interned: a contributor's hundreds of rows share one string.
        yield Clip(
            intern(row["client_id"]), row["path"], row["sentence"], intern(accent),
            intern(row.get("gender", "")), intern(row.get("variant", "")), intern(row.get("locale", "")),
        )  # fmt: skip


def durations(root: Path) -> dict[str, float]:
    """Clip to seconds as `clip_durations.tsv` says; empty for releases without that file."""
    path = Path(root) / "clip_durations.tsv"
    found: dict[str, float] = {}
    for number, line in text_lines(path) if path.exists() else ():
        fields = line.split("\t")
        if number == 1:
            continue
        milliseconds = parse_number(fields[1]) if len(fields) == 2 else None
        if milliseconds is None or milliseconds < 0:
            raise InputError(f"{path}:{number} is not a clip and its milliseconds; unpack the corpus again")
        found[fields[0]] = milliseconds / 1000
    return found


def utterance(
    root: Path, clip: Clip, label: str | None, split: str, seconds: float | None = None
) -> Utterance:
    """The record of a clip; without `seconds` its length is read from the file.

    A clip without sentence or without its audio is an InputError.
    """
    audio = Path(root) / "clips" / clip.path
    if not clip.sentence.strip():
        raise InputError(f"{root}: the clip {clip.path} has no sentence; take its row out of the table")
    if seconds is not None and not isfile(audio):
        raise InputError(f"{audio} is missing; unpack the corpus again")
    key = f"{clip.speaker}-{Path(clip.path).stem}"
    return Utterance(
        id=key,
        speaker=clip.speaker,
        audio=audio,
        text=" ".join(clip.sentence.split()),
        duration=audio_duration(audio) if seconds is None else seconds,
        recording=key,
        accent=label,
        gender=GENDERS.get(clip.gender),
        split=split,
        language=clip.locale or None,
    )


def utterances(
    root: Path, split: str = "validated", labels: Mapping[str, str] | None = None
) -> Iterator[Utterance]:
    """The clips of one table, sorted by id; `labels` turns what the accent column says into a label."""
    root = find_root(root)
    known = durations(root)
    labels = labels or {}
    ordered = sorted(clips(root / f"{split}.tsv"), key=lambda clip: (clip.speaker, clip.path))
    for clip in ordered:
        yield utterance(root, clip, labels.get(clip.accent), split, known.get(clip.path))


def common_accent(
    root: Path, seed: int = 0, per_accent: int = 100, sets: Sequence[str] = ("test", "dev")
) -> dict[str, list[Utterance]]:
    """Draw CommonAccent from the validated clips of an English release.

    The accent must be one of COMMON_ACCENT_TABLE exactly.  The speakers of an
    accent, in an order that `seed` decides, are dealt to `sets` in turn; a set
    then takes one clip of each of its speakers, a second of each, and so on to
    `per_accent`, so that no voice prevails.  A speaker who states two of the
    accents in different clips has none.  Each set is sorted by id.
    """
    root = find_root(root)
    labels = read_labels(COMMON_ACCENT_TABLE)
    by_speaker: dict[str, list[Clip]] = {}
    stated: dict[str, set[str]] = {}
    for clip in clips(root / "validated.tsv"):
        label = labels.get(clip.accent)
        if label is not None:
            by_speaker.setdefault(clip.speaker, []).append(clip)
            stated.setdefault(clip.speaker, set()).add(label)
    known = durations(root)
    by_path = attrgetter("path")
    drawn: dict[str, list[Utterance]] = {name: [] for name in sets}
    for label in sorted(set(labels.values())):
        speakers = [name for name in sorted(by_speaker) if stated[name] == {label}]
        speakers.sort(key=lambda name: generator(seed, label, name).random())
        for turn, name in enumerate(sets):
            chosen = spread(
                {speaker: by_speaker[speaker] for speaker in speakers[turn :: len(sets)]},
                per_accent,
                seed,
                by_path,
            )
            drawn[name] += [utterance(root, clip, label, name, known.get(clip.path)) for clip in chosen]
    return {name: sorted(found, key=lambda utterance: utterance.id.encode()) for name, found in drawn.items()}


COLUMNS = (
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes",
    "age", "gender", "accents", "variant", "locale", "segment",
)  # fmt: skip
MINI_RATE = 32000
MINI_FREE_TEXT = "United States English,Midwestern,slightly nasal"


def synthesise(root: Path, seed: int = 0, speakers: int = 2, each: int = 4) -> None:
    """Write a mini English release at `root` (the folder `en`), in the format of releases since 17.

    Sixteen accents, `speakers` of each, `each` clips of a speaker; and one
    speaker whose accent is free text, one who states none.
    """
    long_names = {label: text for text, label in read_labels(COMMON_ACCENT_TABLE).items() if text != label}
    people = [
        (long_names[label], speaker)
        for label, accent in voices.COMMON_ACCENT.items()
        for speaker in voices.cast([accent], speakers, seed, "common voice", label)
    ]
    people += zip(
        (MINI_FREE_TEXT, ""), voices.cast(voices.STANDARD, 2, seed, "common voice", "other"), strict=True
    )
    texts = mini.digit_strings(mini.TEST, seed, "common voice")
    script = [(number, next(texts)) for number in range(len(people)) for _ in range(each)]
    with download.whole_folder(Path(root)) as folder:
        (folder / "clips").mkdir()
        tables: dict[str, list[str]] = {name: [] for name in ("validated", "train", "dev", "test")}
        lengths = []
        spoken = speak([people[number][1].line(text) for number, text in script], MINI_RATE)
        for row, ((number, text), samples) in enumerate(zip(script, spoken, strict=True)):
            accent, speaker = people[number]
            name = f"common_voice_en_{1000 + row}.mp3"
            audio = voices.as_audio(samples, seed, name)
            write_audio(folder / "clips" / name, audio, MINI_RATE, format="MP3", subtype="MPEG_LAYER_III")
            lengths.append(f"{name}\t{round(1000 * len(audio) / MINI_RATE)}\n")
            client = generator(seed, "client", number).bytes(64).hex()
            # Sentences are written as in print, and one in a while opens a quotation that never ends.
            sentence = ('"' if row % 10 == 0 else "") + text.capitalize() + "."
            gender = {"m": "male_masculine", "f": "female_feminine"}[speaker.gender]
            values = (
                client,
                name,
                f"{row:064x}",
                sentence,
                "",
                "2",
                "0",
                "twenties",
                gender,
                accent,
                "",
                "en",
                "",
            )
            line = "\t".join(values) + "\n"
            tables["validated"].append(line)
            tables[("train", "dev", "test")[number % 3]].append(line)
        tables |= {name: [] for name in ("invalidated", "other")}
        for name, rows in tables.items():
            (folder / f"{name}.tsv").write_text("\t".join(COLUMNS) + "\n" + "".join(rows), encoding="utf-8")
        (folder / "reported.tsv").write_text("sentence_id\tsentence\tlocale\treason\n", encoding="utf-8")
        (folder / "clip_durations.tsv").write_text(
            "clip\tduration[ms]\n" + "".join(lengths), encoding="utf-8"
        )
        (folder / "README.md").write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
        mini.write_note(
            folder,
            "Common Voice",
            voices.table(
                voices.COMMON_ACCENT, {MINI_FREE_TEXT: voices.STANDARD[0], "(none)": voices.STANDARD[1]}
            ),
        )
