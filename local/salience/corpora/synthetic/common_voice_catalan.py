"""A mini Common Voice Catalan: a full release and a delta segment, of two generations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

from salience.corpora import common_voice, download
from salience.corpora.common_voice_catalan import LANGUAGE
from salience.corpora.synthetic import voices
from salience.corpora.synthetic.common_voice import NEW_GENDERS, MiniClip, write_release
from salience.randomness import generator

FOLDER = "common_voice_ca"

MINI_VOICES = voices.accents("catalan")
MINI_FULL, MINI_DELTA = "cv-corpus-0.0-mini", "cv-corpus-0.1-delta-mini"

OLD_COLUMNS = (
    "client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment",
)  # fmt: skip
"""Of releases 8 to 12; common_voice.COLUMNS are those since 17."""

OLD_GENDERS = {"m": "male", "f": "female", "": "other"}
NEW_VARIANTS = {
    "central": "ca-central",
    "balear": "ca-balear",
    "nord-occidental": "ca-nwestern",
    "valencià": "ca-valencia-central",
}
MINI_OWN_WORDS = {"nord-occidental": "nord-occidental,Tortosí", "valencià": "valencià,La Vall d'Albaida"}
"""Two speakers say more about their accent than the table knows."""

_DOES = ("ven", "busca", "col·lecciona", "menja", "guarda", "pinta", "voldrà", "canvia", "té", "dibuixa")
_WHAT = (
    "síndries", "raïm", "un meló", "paraigües", "para-sols", "l'hamaca", "pa amb coca", "novel·les", "quadres", "cafè",
    "cançons", "whisky", "músics", "jerseis", "l'història", "pizzes",
)  # fmt: skip
_WHEN = ("", "avui", "demà")


def sentences(*names: object) -> Iterator[str]:
    """Distinct made-up sentences of two to five words, the same for the same names; there are 480.

    They are short and of few words, so that a small recogniser leaves the
    blanks within some hundred updates, and their words need most of the
    alphabet: accents, apostrophe, hyphen, l·l.
    """
    every = [" ".join(filter(None, words)) for words in product(_DOES, _WHAT, _WHEN)]
    yield from generator("catalan sentences", *names).permutation(every).tolist()


@dataclass(frozen=True)
class _Person:
    speaker: voices.Speaker
    client: str
    accents: str = ""
    variant: str = ""
    gender: str = ""


@dataclass(frozen=True)
class _Row:
    table: str
    person: _Person
    text: str


def synthesise(root: Path, seed: int = 0, clips: int = 3) -> None:
    """Write a mini full release and a mini delta segment at `root`, about 150 clips validated and 150 not.

    Four accents, five men and five women of each in the full release
    (columns and genders as before release 17, 48 kHz, no table of durations),
    one and one more in the segment (columns as since 17, 32 kHz, the accent as
    a variant); other.tsv has speakers of its own, invalidated.tsv some of
    those before.  A labelled speaker has `clips` clips in the full release.
    Two more describe their accent in their own words, one says nothing.
    """
    full, delta = _script(seed, clips)
    with download.whole_folder(root) as folder:
        write_release(
            folder / MINI_FULL / LANGUAGE, LANGUAGE, _clips(full, with_lists=True), 1000, seed,
            columns=OLD_COLUMNS, rate=48000, with_durations=False,
        )  # fmt: skip
        delta_tables = ("validated", "other", "invalidated")
        write_release(
            folder / MINI_DELTA / LANGUAGE, LANGUAGE, _clips(delta, with_lists=False), 2000, seed, tables=delta_tables
        )
        voices.write_note(folder, "Common Voice", MINI_VOICES)


def _clips(rows: Sequence[_Row], with_lists: bool) -> list[MiniClip]:
    """The clips to be spoken; with the official lists, validated ones are in one of these, too."""
    lists = cycle((name,) for name in common_voice.LISTS)
    return [
        MiniClip(
            (row.table, *(next(lists) if with_lists and row.table == "validated" else ())),
            row.person.speaker.line(row.text),
            {
                "client_id": row.person.client, "sentence": _as_in_print(row.text, number), "gender": row.person.gender,
                "accents": row.person.accents, "variant": row.person.variant,
            },
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip


def _script(seed: int, clips: int) -> tuple[list[_Row], list[_Row]]:
    """Who says what in which table of the full release and of the delta segment."""
    texts = sentences(seed)
    full: list[_Row] = []
    delta: list[_Row] = []
    shared = next(texts)
    for accent, voice in MINI_VOICES.items():
        for gender in ("f", "m"):
            variants = {name: is_of for name, is_of in voices.MINI_VARIANTS.items() if is_of == gender}
            people = [
                (speaker, generator(seed, "client", accent, gender, number).bytes(64).hex())
                for number, speaker in enumerate(
                    voices.cast([voice], 9, seed, "common voice ca", accent, gender, variants=variants)
                )
            ]
            old = [_Person(*person, accents=accent, gender=OLD_GENDERS[gender]) for person in people[:7]]
            new = [_Person(*person, variant=NEW_VARIANTS[accent], gender=NEW_GENDERS[gender]) for person in people[7:]]
            for number, person in enumerate(old[:5]):
                own = [next(texts) for _ in range(clips)]
                # As in the real corpus, some sentences are read by several people.
                full += [_Row("validated", person, text) for text in ([shared, *own[1:]] if number == 0 else own)]
            full += [_Row("invalidated", person, next(texts)) for person in old[:2]]
            full += [_Row("other", person, next(texts)) for person in old[5:] for _ in range(6)]
            delta += [_Row("validated", new[0], next(texts)) for _ in range(3)]
            delta += [_Row("other", new[1], next(texts)) for _ in range(5)]
    for accent, own_words in MINI_OWN_WORDS.items():
        speaker = voices.cast([MINI_VOICES[accent]], 1, seed, "common voice ca", own_words)[0]
        identity = generator(seed, "client", own_words).bytes(64).hex()
        person = _Person(speaker, identity, accents=own_words, gender=OLD_GENDERS[speaker.gender])
        full += [_Row("validated", person, next(texts)) for _ in range(3)]
    silent = _Person(
        voices.cast([MINI_VOICES["central"]], 1, seed, "common voice ca", "none")[0],
        generator(seed, "client", "none").bytes(64).hex(),
        gender=NEW_GENDERS[""],
    )
    # The second cannot be spelt out, so it is no sentence to train on.
    delta += [_Row("validated", silent, text) for text in (next(texts), "el tren surt a les 7 del matí")]
    return full, delta


def _as_in_print(text: str, number: int) -> str:
    """The same words as books and hurried people write them: five ways, in turn."""
    written = text[0].upper() + text[1:]
    return (
        f"{written}.",
        f"{written.replace(chr(39), chr(0x2019))}!",
        f'"{written}.',
        f"«{written.replace('l·l', 'l.l')}»",
        f"– {written.replace('l·l', 'ŀl')}?",
    )[number % 5]
