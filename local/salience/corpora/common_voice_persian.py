"""Common Voice Persian: one release with its official lists, and a mini version.

On disk as common_voice.py says, with `fa` for the language.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


from salience.corpora import common_voice, download, mini, mini_persian, voices
from salience.corpora.espeak import speak
from salience.corpora.headers import write_audio
from salience.corpora.records import Utterance
from salience.errors import InputError
from salience.randomness import generator

LANGUAGE = "fa"
LISTS = ("train", "dev", "test")


def find_root(folder: Path) -> Path:
    """The folder `fa` of a release with its official lists; a delta segment, which lacks them, is an InputError."""
    root = common_voice.find_root(folder, LANGUAGE)
    for name in LISTS:
        if not (root / f"{name}.tsv").is_file():
            raise InputError(f"{root} has no {name}.tsv, as a delta segment has none; give a full release")
    return root


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Unpack the user's `archive` below `target`; returns the root.  Without one this is an InputError."""
    common_voice.fetch(target, archive, LANGUAGE)
    return find_root(Path(target) / "common_voice")


def utterances(root: Path, split: str) -> Iterator[Utterance]:
    """The clips of train, dev or test, sorted by id."""
    root = find_root(root)
    known = common_voice.durations(root)
    ordered = sorted(common_voice.clips(root / f"{split}.tsv"), key=lambda clip: (clip.speaker, clip.path))
    for clip in ordered:
        yield common_voice.utterance(root, clip, None, split, known.get(clip.path))


# The mini corpus.

MINI_RATE = 32000
MINI_SIZES = {"train": (10, 14), "dev": (4, 5), "test": (6, 6)}
"""Contributors and the clips of each."""
_KINDS = {"train": mini.TRAIN, "dev": mini.DEV, "test": mini.TEST}


def as_in_print(text: str, number: int) -> str:
    """The sentence as contributors type it: mostly as it is, now and then with what Persian keyboards do to it."""
    written = {
        2: text.replace("\u06cc", "\u064a").replace("\u06a9", "\u0643"),  # of an Arabic keyboard
        5: f"{text}\u061f",
        8: text.replace("\u0633\u0647", "\u0633\u0650\u0647"),  # a vowel sign
        11: f"\u00ab{text}\u00bb",
        14: text.replace("\u0634\u0634", "\u0634\u0640\u0634"),  # a stretched word
        17: f'"{text}.',  # a quotation that does not end
    }
    return written.get(number % 18, text)


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini release at `root` (the folder `fa`), in the format of releases since 17.

    Persian digit words in Persian script, read by espeak-ng's two Persian
    voices.  Other contributors have clips in other.tsv and invalidated.tsv,
    which no list names.
    """
    sizes = MINI_SIZES | {"other": (1, 2), "invalidated": (1, 2)}
    _write(root, seed, sizes, "common voice", voices.MINI_VARIANTS, as_in_print)


def synthesise_pretraining(root: Path, seed: int = 0, utterances: int = 800, readers: int = 20) -> None:
    """Write a release for the Persian mini Whisper to learn from, in train.tsv alone.

    None of its speakers and none of its variants is in `synthesise`.  Clips
    that a collection cuts are longer than Common Voice's and have pauses: so
    every fourth of these has seven to twelve digits, and every second has
    pauses between them.  Of long ones alone a small model hardly learns.
    """
    sizes = {"train": (readers, -(-utterances // readers)), "dev": (0, 0), "test": (0, 0)}
    _write(root, seed, sizes, "pretraining", voices.PRETRAINING_VARIANTS, lambda text, _: text, varied=True)


def _write(
    root: Path,
    seed: int,
    sizes: Mapping[str, tuple[int, int]],
    purpose: str,
    variants: dict[str, str],
    typed: Callable[[str, int], str],
    varied: bool = False,
) -> None:
    texts = {name: mini_persian.sentences(kind, seed, purpose) for name, kind in _KINDS.items()}
    long = mini_persian.sentences(mini.TRAIN, seed, purpose, "long", shortest=7, longest=12)
    count = sum(people for people, _ in sizes.values())
    people = iter(voices.cast(mini_persian.STANDARD, count, seed, f"{purpose} fa", variants=variants))
    script = [
        (
            table,
            speaker,
            generator(seed, "client", table, number).bytes(64).hex(),
            next(long if varied and turn % 4 == 3 else texts.get(table, texts["train"])),
        )
        for table, (count, each) in sizes.items()
        for number, speaker in zip(range(count), people)
        for turn in range(each)
    ]
    header = "\t".join(common_voice.COLUMNS) + "\n"
    with download.whole_folder(Path(root)) as folder:
        (folder / "clips").mkdir()
        tables: dict[str, list[str]] = {name: [] for name in (*sizes, "validated")}
        lengths = []
        lines = [speaker.line(text) for _, speaker, _, text in script]
        if varied:
            # By fours, so that there are long ones of both kinds.
            lines = [(line.replace(" ", ", ") if n // 4 % 2 else line, voice) for n, (line, voice) in enumerate(lines)]
        spoken = speak(lines, MINI_RATE)
        for number, ((table, speaker, client, text), samples) in enumerate(zip(script, spoken, strict=True)):
            name = f"common_voice_{LANGUAGE}_{3000 + number}.mp3"
            audio = voices.as_audio(samples, seed, name)
            write_audio(folder / "clips" / name, audio, MINI_RATE, format="MP3", subtype="MPEG_LAYER_III")
            lengths.append(f"{name}\t{round(1000 * len(audio) / MINI_RATE)}\n")
            row = {
                "client_id": client, "path": name, "sentence_id": f"{number:064x}", "sentence": typed(text, number),
                "up_votes": "2", "down_votes": "2" if table == "invalidated" else "0", "age": "twenties",
                "gender": {"m": "male_masculine", "f": "female_feminine"}[speaker.gender], "locale": LANGUAGE,
            }  # fmt: skip
            line = "\t".join(row.get(column, "") for column in common_voice.COLUMNS) + "\n"
            tables[table].append(line)
            if table in LISTS:
                tables["validated"].append(line)
        for name, lines in tables.items():
            (folder / f"{name}.tsv").write_text(header + "".join(lines), encoding="utf-8")
        (folder / "reported.tsv").write_text("sentence_id\tsentence\tlocale\treason\n", encoding="utf-8")
        (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\n" + "".join(lengths), encoding="utf-8")
        (folder / "README.md").write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
        standard = {f"Standard ({voice.name})": voice for voice in mini_persian.STANDARD}
        mini.write_note(folder, "Common Voice", voices.table(standard))
