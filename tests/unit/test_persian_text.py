"""Persian text: the normalisers on hard cases and on every letter, and lines that go from right to left."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.data.alignment import readable
from salience.data.bidi import END, FIRST_STRONG, RIGHT_TO_LEFT, isolated, width
from salience.data.normalisers import normaliser
from salience.report.tables import Table, plain_text
from salience.report.utterances import aligned

ZWNJ = "\u200c"

CASES = [
    # letters that Arabic and Urdu keyboards type, and those that stay
    ("كتابي", "کتابی"),
    ("علىٰ", "علی"),
    ("ہم تمھارے ڪتاب", "هم تمهاری کتاب"),
    ("خانۀ ما، خانهٔ ما، مدرسة", "خانه ما خانه ما مدرسه"),
    ("أحمد إبراهيم ٱلله", "احمد ابراهیم الله"),
    ("آب آ\u0628 ا\u0653ب", "آب آب آب"),
    ("مسئول رئیس", "مسئول رئیس"),
    ("مسي\u0654ول مسی\u0654ول", "مسئول مسئول"),
    ("گچ پژ", "گچ پژ"),
    # what parts words
    (f"می{ZWNJ}شود", "می شود"),
    (f"کتاب{ZWNJ}ها{ZWNJ}یم", "کتاب ها یم"),
    (f"{ZWNJ}سلام{ZWNJ} {ZWNJ}دنیا", "سلام دنیا"),
    ("سلام\u00a0دنیا\u2003!", "سلام دنیا"),
    # vowel signs, stretching, marks of direction
    ("مُحَمَّدٌ", "محمد"),
    ("هٰذا", "هذا"),
    ("ســــلام", "سلام"),
    ("\u202bسلام\u202c \u200fدنیا\u061c\ufeff", "سلام دنیا"),
    # presentation forms
    ("ﺳﻼم", "سلام"),
    ("ﮐﺘﺎﺏ ﯾﮏ ﭼﻬﺎﺭ", "کتاب یک چهار"),
    ("ﷲ ﷼", "الله ریال"),
    ("ﺳ\ufe77ﻼم\ufe70", "سلام"),
    # figures of three kinds, and signs
    ("۱۳۵۷ ١٣٥٧ 1357", "1357 1357 1357"),
    ("۱۲٬۳۴۵ تومان، ٪۵۰", "12345 تومان 50"),
    ("۳٫۵", "3 5"),
    ("۲۵ تا", "25 تا"),
    # punctuation
    ("«سلام؛ چطوری؟» گفت…", "سلام چطوری گفت"),
    ('"او گفت - بیا!', "او گفت بیا"),
    ("نیم_فاصله/خط", "نیم فاصله خط"),
    ("Whisper و GPT", "whisper و gpt"),
    ("", ""),
    ("؟!…", ""),
]


@pytest.mark.parametrize(("written", "expected"), CASES)
def test_normaliser_on_hard_cases(written, expected):
    normalise, version = normaliser("persian")
    assert normalise(written) == expected and version == "1"


def test_the_non_joiner_parts_or_joins():
    parted, joined = (normaliser(name)[0] for name in ("persian", "persian-joined"))
    text = f"نمی{ZWNJ}خواهم کتاب{ZWNJ}ها را"
    assert parted(text) == "نمی خواهم کتاب ها را" and joined(text) == "نمیخواهم کتابها را"
    # Whoever writes a space instead agrees with the one, whoever writes nothing with the other.
    assert parted(text) == parted(text.replace(ZWNJ, " ")) and joined(text) == joined(text.replace(ZWNJ, ""))
    # In all else the two are the same.
    for written, _ in CASES:
        if ZWNJ not in written:
            assert parted(written) == joined(written)


BLOCKS = ((0x0600, 0x06FF), (0x0750, 0x077F), (0x08A0, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF))


@pytest.mark.parametrize("name", ["persian", "persian-joined"])
def test_idempotent_on_every_letter_of_the_arabic_blocks(name):
    normalise, _ = normaliser(name)
    for first, last in BLOCKS:
        for code in range(first, last + 1):
            character = chr(code)
            for text in (character, f"ب{character}", f"{character}ب", f"ا{character}ی", f"ب {character} ب"):
                once = normalise(text)
                assert normalise(once) == once, f"U+{code:04X}"
                assert once == " ".join(once.split())
                assert not any(unicodedata.category(c) in ("Mn", "Cf") for c in once), f"U+{code:04X}"
                # Nothing is left that has another form.
                assert not any(0xFB50 <= ord(c) <= 0xFDFF or 0xFE70 <= ord(c) <= 0xFEFF for c in once), f"U+{code:04X}"


def test_every_letter_of_the_persian_alphabet_stays():
    normalise, _ = normaliser("persian")
    alphabet = "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی"
    assert normalise(alphabet) == alphabet and normalise("ئؤء") == "ئؤء"


def test_every_presentation_form_of_a_persian_letter_is_that_letter():
    normalise, _ = normaliser("persian")
    known = set("ءآئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوؤهی")
    found = set()
    for code in [*range(0xFB50, 0xFBC2), *range(0xFE80, 0xFEFD)]:
        letters = unicodedata.normalize("NFKC", chr(code))
        if len(letters) == 1 and letters in known:
            assert normalise(chr(code)) == letters
            found.add(letters)
    assert len(found) > 30


persian = st.text(
    alphabet=(
        "ابپتچکگیيكىهةۀأآئؤ"
        " ئ\u200c\u200d\u0640\u064b\u064e\u0651\u0654\u0653\u0670۰۵٣7،؟«».-\u200f\ufedf\ufefb\ufe77\u0674aI"
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(persian, st.text(max_size=20)))
def test_idempotent_on_any_text(text):
    for name in ("persian", "persian-joined"):
        normalise, _ = normaliser(name)
        once = normalise(text)
        assert normalise(once) == once and once == " ".join(once.split())


@settings(max_examples=100, deadline=None)
@given(st.lists(persian, max_size=4))
def test_words_are_normalised_one_by_one(texts):
    """What stands in one word changes nothing in another: a score does not depend on the rest of the sentence."""
    normalise, _ = normaliser("persian")
    assert normalise(" | ".join(texts)).split() == [word for text in texts for word in normalise(text).split()]


# Right to left.


def visible(text):
    return "".join(c for c in text if c not in (RIGHT_TO_LEFT, FIRST_STRONG, END))


def test_alignment_of_persian_is_one_isolated_line():
    line = readable("یک دو سه", "یک نه سه")
    assert line[0] == RIGHT_TO_LEFT and line[-1] == END
    assert visible(line) == "یک (دو->نه) سه"
    # Each begin has its end, and both sides of a change are kept apart from their neighbours.
    depth = 0
    for character in line:
        depth += (character in (RIGHT_TO_LEFT, FIRST_STRONG)) - (character == END)
        assert depth >= 0
    assert depth == 0 and f"({FIRST_STRONG}دو{END}->{FIRST_STRONG}نه{END})" in line
    # One text in Persian is enough; and Latin letters change nothing.
    assert readable("one", "یک").startswith(RIGHT_TO_LEFT)
    assert readable("one two", "one too") == "one (two->too)"


def test_width_counts_what_a_terminal_shows():
    assert [width(text) for text in ("abc", "یک", "یِک", f"می{ZWNJ}شود", isolated("یک"), "中")] == [3, 2, 2, 5, 2, 2]


def test_columns_of_a_table_stay_aligned():
    table = Table("t", ["accent", "n"], [["شیرازی", "1"], [f"نیم{ZWNJ}فاصله", "22"], ["Tajiki", "333"]])
    lines = plain_text(table).splitlines()[3:]
    ends = {width(line[: line.rindex(cell)]) for line, cell in zip(lines, ("1", "22", "333"), strict=True)}
    assert len(ends) == 1
    # A Persian cell is isolated, or its letters would pull the next column's figure to their left.
    assert lines[0].startswith(FIRST_STRONG) and not lines[2].startswith(FIRST_STRONG)


def test_the_page_aligns_each_text_in_its_own_direction():
    assert aligned("یک دو سه", "یک سه سه") == {"runs": [["یک", "یک"], ["دو", "سه"], ["سه", "سه"]], "direction": "rtl"}
    assert aligned("one", "")["runs"] == [["one", ""]] and aligned("one", "two")["direction"] == "ltr"
    assert aligned("", "یک")["direction"] == "rtl"
