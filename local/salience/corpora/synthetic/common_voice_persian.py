"""A mini Common Voice Persian, in Persian script, and a larger one to train the mini Whisper on."""

from collections.abc import Callable, Mapping
from pathlib import Path

from salience.corpora import common_voice, digits, download
from salience.corpora.common_voice_persian import LANGUAGE
from salience.corpora.synthetic import persian, voices
from salience.corpora.synthetic.common_voice import NEW_GENDERS, MiniClip, write_release
from salience.randomness import generator

FOLDER = "cv-corpus-0.0-mini/fa"

MINI_SIZES = {"train": (10, 14), "dev": (4, 5), "test": (6, 6)}
"""Contributors and the clips of each."""
_KINDS = {"train": digits.TRAIN, "dev": digits.DEV, "test": digits.TEST}


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
    """Write a release to train the Persian mini Whisper on, in train.tsv alone.

    None of its speakers and none of its variants is in `synthesise`.  Clips
    that a collection cuts are longer than Common Voice's and have pauses: so
    every fourth of these has seven to twelve digits, and every second has
    pauses between them.  On long ones alone a small model hardly learns.
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
    texts = {name: persian.sentences(kind, seed, purpose) for name, kind in _KINDS.items()}
    long = persian.sentences(digits.TRAIN, seed, purpose, "long", min_words=7, max_words=12)
    count = sum(people for people, _ in sizes.values())
    people = iter(voices.cast(persian.STANDARD, count, seed, f"{purpose} fa", variants=variants))
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
    lines = [speaker.line(text) for _, speaker, _, text in script]
    if varied:
        # By fours, so that there are long ones of both kinds.
        lines = [(line.replace(" ", ", ") if n // 4 % 2 else line, voice) for n, (line, voice) in enumerate(lines)]
    clips = [
        MiniClip(
            (table, "validated") if table in common_voice.LISTS else (table,),
            line,
            {"client_id": client, "sentence": typed(text, number), "gender": NEW_GENDERS[speaker.gender]},
        )
        for number, ((table, speaker, client, text), line) in enumerate(zip(script, lines, strict=True))
    ]
    tables = tuple(dict.fromkeys((*sizes, "validated")))
    with download.whole_folder(root) as folder:
        write_release(folder, LANGUAGE, clips, 3000, seed, tables=tables)
        standard = {f"Standard ({voice.name})": voice for voice in persian.STANDARD}
        voices.write_note(folder, "Common Voice", standard)
