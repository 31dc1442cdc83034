"""Alignment, rates and normalisers against jiwer, sclite and cases worked out by hand."""

import random
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.normalizers import EnglishTextNormalizer

from salience.data.alignment import character_counts, errors, rate, readable, segments, word_counts
from salience.data.normalisers import normaliser
from salience.errors import InputError
from salience.scoring.wer import join_by_id, kaldi_lines, kaldi_report, trn_lines

SCLITE = shutil.which("sclite") or "/usr/lib/sctk/bin/sclite"

texts = st.lists(st.sampled_from(["a", "b", "be", "c'est", "dé", "می‌شود", "zero"]), max_size=9).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


@given(pairs)
def test_words_are_counted_as_jiwer_counts_them(lines):
    references, hypotheses = map(list, zip(*lines))
    counts = word_counts(references, hypotheses).sum(axis=0)
    theirs = jiwer.process_words(references, hypotheses)
    assert counts.tolist() == [
        theirs.hits + theirs.substitutions + theirs.deletions,
        theirs.insertions,
        theirs.deletions,
        theirs.substitutions,
    ]


@given(pairs)
def test_characters_are_counted_as_jiwer_counts_them(lines):
    references, hypotheses = map(list, zip(*lines))
    counts = character_counts(references, hypotheses)
    theirs = jiwer.process_characters(references, hypotheses)
    assert counts.sum(axis=0).tolist()[1:] == [theirs.insertions, theirs.deletions, theirs.substitutions]
    if any(references):
        assert rate(counts) == pytest.approx(100 * theirs.cer)


@given(texts, texts)
def test_segments_put_together_are_both_texts(reference, hypothesis):
    runs = segments(reference.split(), hypothesis.split())
    assert [w for said, _ in runs for w in said] == reference.split()
    assert [w for _, heard in runs for w in heard] == hypothesis.split()
    assert not any(a[0] != a[1] and b[0] != b[1] for a, b in zip(runs, runs[1:]))


def test_the_space_between_words_is_a_character():
    assert character_counts(["ab  c"], ["abc"]).tolist() == [[4, 0, 1, 0]]


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [("", "", [0, 0, 0, 0]), ("", "a b", [0, 2, 0, 0]), ("a b", "", [2, 0, 2, 0]), ("a b", "x b c", [2, 1, 0, 1])],
)
def test_empty_texts(reference, hypothesis, expected):
    assert word_counts([reference], [hypothesis]).tolist() == [expected]


def test_no_pairs_and_unequal_numbers_of_texts():
    assert word_counts([], []).shape == (0, 4)
    with pytest.raises(ValueError):
        word_counts(["a"], [])


def test_an_alignment_reads_at_a_glance():
    assert readable("THE ASSOCIATION OF EDISON ILLUMINATING", "THE ASSOCIATION OF ADDISON ILLUMINATING") == (
        "THE ASSOCIATION OF (EDISON->ADDISON) ILLUMINATING"
    )
    assert readable("a b c d", "b c d e f") == "(a->*) b c d (*->e f)"
    assert readable("it is so", "its so") == "(it is->its) so"
    assert readable("", "") == ""


def test_kaldi_lines():
    counts = np.array([[4, 1, 0, 1], [3, 0, 3, 0], [2, 0, 0, 0]])
    assert kaldi_lines(counts, 1) == (
        "%WER 55.56 [ 5 / 9, 1 ins, 3 del, 1 sub ]\n%SER 66.67 [ 2 / 3 ]\nScored 3 sentences, 1 not present in hyp.\n"
    )
    assert "%WER nan [ 2 / 0, 2 ins," in kaldi_lines(np.array([[0, 2, 0, 0]]), 0)


def test_the_order_of_lines_does_not_matter():
    references = {f"s-{i}": f"a {i}" for i in range(20)}
    hypotheses = {key: text.replace("1", "x") for key, text in references.items()}
    backwards = dict(reversed(hypotheses.items()))
    assert join_by_id(references, hypotheses) == join_by_id(dict(reversed(references.items())), backwards)


def test_a_missing_hypothesis_is_deletions_and_is_reported():
    joined = join_by_id({"a": "one two", "b": "three"}, {"b": "three"})
    counts = word_counts(joined.references, joined.hypotheses)
    assert joined.missing == ["a"]
    report = kaldi_report(counts, joined, "raw", ["x", "y"])
    assert report.splitlines()[1] == "%WER 66.67 [ 2 / 3, 0 ins, 2 del, 0 sub ]"
    assert [line for line in report.splitlines() if line.startswith("Scored")] == [
        "Scored 2 sentences, 1 not present in hyp.",
        "Scored 1 sentences, 1 not present in hyp.",
        "Scored 1 sentences, 0 not present in hyp.",
    ]


def test_an_unknown_hypothesis_is_an_error():
    with pytest.raises(InputError, match="exp/text has b, unknown to the references"):
        join_by_id({"a": "one"}, {"a": "one", "b": "two"}, "exp/text")
    with pytest.raises(InputError, match="no reference"):
        join_by_id({}, {})


def test_totals_equal_sclites(tmp_path: Path):
    if not Path(SCLITE).exists():
        pytest.skip("sclite is not installed (Debian package sctk)")
    random.seed(7)
    words = "the of and a to in he that was it his i with had is you for on not as from they she which".split()
    references, hypotheses = [], []
    for _ in range(300):
        said = random.choices(words, k=random.randint(3, 25))
        heard = []
        for word in said:
            chance = random.random()
            if chance > 0.05:
                heard.append(random.choice(words) if chance < 0.15 else word)
            if chance > 0.96:
                heard.append(random.choice(words))
        references.append(" ".join(said))
        hypotheses.append(" ".join(heard))
    ids, speakers = [f"u{i:03}" for i in range(300)], ["s"] * 300
    (tmp_path / "ref.trn").write_text(trn_lines(ids, references, speakers))
    (tmp_path / "hyp.trn").write_text(trn_lines(ids, hypotheses, speakers))
    command = [
        SCLITE,
        "-i",
        "rm",
        "-s",
        "-r",
        tmp_path / "ref.trn",
        "trn",
        "-h",
        tmp_path / "hyp.trn",
        "trn",
        "-o",
        "rsum",
        "stdout",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    total = next(line for line in output.splitlines() if line.lstrip().startswith("| Sum"))
    sentences, length, _, *_wrong, total_errors, wrong_sentences = map(int, total.replace("|", " ").split()[1:])
    counts = word_counts(references, hypotheses)
    ours = errors(counts)
    assert (sentences, length) == (300, counts[:, 0].sum())
    assert (total_errors, wrong_sentences) == (ours.sum(), np.count_nonzero(ours))


def test_normalisers():
    raw, _ = normaliser("raw")
    english, version = normaliser("whisper-english")
    basic, _ = normaliser("whisper-basic")
    digits, _ = normaliser("digit-words")
    assert raw(" A  b,\tC ") == "A b, C"
    assert version.startswith("20")
    assert english("Um, the colour of Mr. Brown's 2 dogs, uh") == "the color of mister brown is 2 dogs"
    assert basic(" Hello, World! ") == "hello world"
    assert digits("1, 2 and three; 45!") == "one two and three four five"


@pytest.mark.parametrize("apostrophe", "’‘ʼ‛ʹ´`′＇")
def test_whatever_stands_for_an_apostrophe_is_one(apostrophe):
    """In openai-whisper's own, "don’t" is two words that "don't" is not."""
    for name in ("whisper-english", "whisper-basic", "digit-words"):
        function, version = normaliser(name)
        assert function(f"I don{apostrophe}t, it{apostrophe}s {apostrophe}hello{apostrophe}") == function(
            "I don't, it's 'hello'"
        ), name
        # A figure made before this is not compared with one made after.
        assert f"{metadata.version('openai-whisper')}+1" in version
    assert normaliser("whisper-english")[0](f"I don{apostrophe}t") == "i do not"


def test_spoken_digits_are_one_word_to_whisper_english_but_not_to_digit_words():
    english, _ = normaliser("whisper-english")
    digits, _ = normaliser("digit-words")
    assert english("nine oh two") == "902"
    assert digits("nine two") == digits("92") == "nine two"


LIBRARY = EnglishTextNormalizer()
ENGLISH, _ = normaliser("whisper-english")
NUMBERS, SPELLINGS = sorted(LIBRARY.standardize_numbers.words), sorted(LIBRARY.standardize_spellings.mapping)
OTHERS = "a and cat half hmm IMMA mr one point Mister don't it's been 2 $3 Été per cent".split()
words_of_whisper = st.lists(st.one_of(*map(st.sampled_from, (NUMBERS, SPELLINGS, OTHERS))), max_size=9)


@given(words_of_whisper, st.sampled_from([" ", "  ", "\t"]))
@settings(max_examples=1000)
def test_word_by_word_the_english_normaliser_says_what_the_library_says(words, between):
    text = between.join(words)
    assert ENGLISH(text) == " ".join(LIBRARY(text).split())


def test_an_unknown_normaliser_is_an_error_that_lists_the_names():
    with pytest.raises(InputError, match="raw, whisper-english, whisper-basic, digit-words"):
        normaliser("whisper")
