"""Catalan text: the normalisers on hard cases, and vocabularies as transformers' tokenizer uses them."""

import json
from pathlib import Path

import pytest
from corpora_helpers import program
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.data.normalisers import normaliser
from salience.data.symbols import Symbols
from salience.data.vocabulary import BOUNDARY, CATALAN, LEGACY, PAD, UNKNOWN, read_vocabulary, unwritable
from salience.errors import InputError
from salience.files import write_lines

CASES = [
    # l·l in the ways people type it, and dots that are none
    ("La COL·LECCIÓ", "la col·lecció"),
    ("novel.la", "novel·la"),
    ("novel•la, novel‧la, novel∙la, novel⋅la", "novel·la novel·la novel·la novel·la"),
    ("coŀlegi i COĿLEGI", "col·legi i col·legi"),
    ("coŀ·legi", "col·legi"),
    ("El sol. La lluna", "el sol la lluna"),
    ("punt · i a part", "punt i a part"),
    ("a·b", "a b"),
    ("l·l·l", "l·l·l"),
    # apostrophes and quotes
    ("L’home d´aquí", "l'home d'aquí"),
    ("dóna’m-ho i ves-te'n", "dóna'm-ho i ves-te'n"),
    ("'cita' i ‘una altra’", "cita i una altra"),
    ('"Que sí!", va dir.', "que sí va dir"),
    ("«Bé…» (potser)", "bé potser"),
    # hyphens and dashes
    ("vint-i-cinc, para‑sol", "vint-i-cinc para-sol"),
    ("el tren Reus–Lleida", "el tren reus-lleida"),
    ("vine — ara—mateix - sí -", "vine ara mateix sí"),
    # accents, composed or not, and what cannot be seen
    ("Qu\u0065\u0301 passa", "qué passa"),
    ("PINGÜÍ, RAÏM, ÒRGAN, ÇA", "pingüí raïm òrgan ça"),
    ("vo\u00adlia\u00a0un\u200b cafè", "volia un cafè"),
    # figures stay, signs go
    ("A les 7.30 h, 50 %", "a les 7 30 h 50"),
    ("snake_case", "snake case"),
    ("", ""),
    ("—…!", ""),
]


@pytest.mark.parametrize(("written", "expected"), CASES)
def test_normaliser_on_hard_cases(written: str, expected: str) -> None:
    normalise, version = normaliser("catalan")
    assert normalise(written) == expected and version == "1"


characters = st.one_of(st.text(), st.text(alphabet="lLaeiŀĿ·.•'’-–— _\u0301\u0300\u00ad\u200dİΣßÀ\u1100\u1161\u212b7²"))


@settings(max_examples=400, deadline=None)
@given(characters)
def test_normalisers_are_idempotent(text: str) -> None:
    for name in ("catalan", "paper-catalan"):
        normalise, _ = normaliser(name)
        once = normalise(text)
        assert normalise(once) == once
        assert once == " ".join(once.split())


@given(st.text(alphabet="".join(s for s in CATALAN if len(s) == 1 and s != BOUNDARY) + ' .,;!?«»"’'))
def test_what_is_written_in_the_alphabet_can_be_learnt(text: str) -> None:
    normalise, _ = normaliser("catalan")
    assert unwritable(text, normalise(text)) in (None, "no words")
    assert set(normalise(text)) <= set(CATALAN) | {" "}


def test_paper_normaliser_joins_words() -> None:
    normalise, _ = normaliser("paper-catalan")
    assert normalise("L'home  d’ahir: col·lecció, para-sol!") == "lhome dahir collecció parasol"


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Som 12 persones", "figures"),
        ("El 50è", "figures"),
        ("Val 3 €", "figures"),
        ("Val tres €", "read aloud"),
        ("Dupont & fills", "read aloud"),
        ("La Begoña i en Müller", "letters"),
        ("Москва", "letters"),
        ("—!", "no words"),
        ("Una col·lecció d'òlibes, vint-i-dos raïms i pingüins: és ací!", None),
    ],
)
def test_sentences_that_cannot_be_written(sentence: str, reason: str | None) -> None:
    normalise, _ = normaliser("catalan")
    found = unwritable(sentence, normalise(sentence))
    assert found is None if reason is None else reason in (found or "")


def test_vocabulary_holds_the_alphabet_and_comes_back(tmp_path: Path) -> None:
    assert len(CATALAN) == len(set(CATALAN)) and set("·'-|abcdefghijklmnopqrstuvwxyzàèéíïòóúüç") <= set(CATALAN)
    for symbols in (CATALAN, LEGACY):
        write_lines(tmp_path / "tokens.txt", symbols)
        assert read_vocabulary(tmp_path / "tokens.txt") == {symbol: n for n, symbol in enumerate(symbols)}
    # The numbers of the published list.
    assert (LEGACY.index(" "), LEGACY.index(UNKNOWN), LEGACY.index(PAD), LEGACY.index("</s>")) == (0, 32, 33, 35)


@pytest.mark.parametrize("text", ["a\nb\n", "[PAD]\n[UNK]\na\na\n"])
def test_bad_vocabulary_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens.txt").write_text(text)
    with pytest.raises(InputError, match="is no list of different symbols"):
        read_vocabulary(tmp_path / "tokens.txt")


def tokenizer(symbols: tuple[str, ...], folder: Path):
    """The tokenizer of transformers with a list of ours."""
    transformers = pytest.importorskip("transformers")
    file = folder / "vocab.json"
    file.write_text(json.dumps({symbol: number for number, symbol in enumerate(symbols)}), encoding="utf-8")
    extra = {} if "<s>" in symbols else {"bos_token": None, "eos_token": None}
    return transformers.Wav2Vec2CTCTokenizer(str(file), unk_token=UNKNOWN, pad_token=PAD, **extra)


TEXT = "és l'òliba d'aquí col·lecció ràpida"


def numbers_of(symbols: tuple[str, ...], folder: Path) -> list[int]:
    """What our own reader of the list makes of the text."""
    write_lines(folder / "tokens.txt", symbols)
    return Symbols(folder / "tokens.txt").encode(TEXT)


def test_the_published_vocabulary_yields_unknowns(tmp_path: Path) -> None:
    made = tokenizer(LEGACY, tmp_path)
    numbers = made(TEXT).input_ids
    # transformers 5 numbers `|` behind the list; transformers 4 looked it up in the list, as the next line does.
    numbers = [made._convert_token_to_id("|") if number >= len(LEGACY) else number for number in numbers]
    unknown = [c for c, number in zip(TEXT, numbers, strict=True) if number == LEGACY.index(UNKNOWN)]
    # All four word boundaries, though the list has a space; the accents it lacks, and the dot.
    assert " " in LEGACY and unknown == ["é", " ", "ò", " ", "í", " ", "·", "ó", " "]
    assert numbers == numbers_of(LEGACY, tmp_path)


def test_our_vocabulary_yields_no_unknown(tmp_path: Path) -> None:
    made = tokenizer(CATALAN, tmp_path)
    numbers = made(TEXT).input_ids
    assert len(made) == len(CATALAN) and CATALAN.index(UNKNOWN) not in numbers
    assert numbers == numbers_of(CATALAN, tmp_path)
    # The tokenizer joins what repeats, so double letters are kept apart for this check.
    assert made.decode(numbers, group_tokens=False) == TEXT


def test_program_says_how_far_the_lists_reach(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "text").write_text("u1 Té l'àvia.\nu2 Col·lecció\n", encoding="utf-8")
    with caplog.at_level("INFO"):
        program("local/prepare_vocabulary.py").prepare_vocabulary(tmp_path / "out", tmp_path / "text")
    assert "out/tokens.txt: 42 symbols; 0.0 % of the text is [UNK]: \n" in caplog.text
    # Four of nineteen characters.
    assert "36 symbols; 21.1 % of the text is [UNK]: é | · ó\n" in caplog.text
    assert list(read_vocabulary(tmp_path / "out/legacy/tokens.txt")) == list(LEGACY)
