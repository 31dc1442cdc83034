"""score_words.py for several recognisers and sets at once."""

import json

import pytest
from accent_helpers import run_program

from salience.data.tables import write_table


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Two sets, and of each the hypotheses of two recognisers with different numbers of errors."""
    folder = tmp_path / "a recipe"
    for name, texts in {"dev": {"s-1": "A B C"}, "test": {"s-1": "A B", "s-2": "C"}}.items():
        write_table(folder / "data" / name / "text", texts)
        write_table(folder / "data" / name / "utt2spk", dict.fromkeys(texts, "s"))
        for wrong, system in enumerate(("right", "wrong")):
            write_table(
                folder / "exp/decode" / system / name / "text",
                {key: text.replace("A", "X" * wrong or "A") for key, text in texts.items()},
            )
    monkeypatch.chdir(folder)
    return folder


def score(monkeypatch, **options):
    defaults = {
        "ref": "data/{set}/text",
        "hyp": "exp/decode/{of}/{set}/text",
        "utt2spk": "data/{set}/utt2spk",
        "out": "exp/score/{of}/{set}",
        "sets": "dev test",
        "of": "right wrong",
        "normaliser": "raw",
    }
    run_program(monkeypatch, "score_words", **(defaults | options))


def test_each_recogniser_is_scored_on_each_set(recipe, monkeypatch, caplog):
    score(monkeypatch)
    errors = {
        (system, name): sum(
            json.loads((recipe / "exp/score" / system / name / "counts.json").read_text())["raw"]["word_errors"]
        )
        for system in ("right", "wrong")
        for name in ("dev", "test")
    }
    assert errors == {("right", "dev"): 0, ("right", "test"): 0, ("wrong", "dev"): 1, ("wrong", "test"): 1}
    with caplog.at_level("INFO"):
        score(monkeypatch)
    assert caplog.text.count("up to date, skipped") == 4


def test_without_of_the_paths_are_taken_as_they_are(recipe, monkeypatch):
    score(monkeypatch, of="", hyp="exp/decode/wrong/{set}/text", out="exp/score/{set}")
    assert (recipe / "exp/score/test/wer").exists() and not (recipe / "exp/score/wrong").exists()


@pytest.mark.parametrize("options", [{"hyp": "exp/decode/right/{set}/text"}, {"out": "exp/score/{set}"}])
def test_of_needs_a_place_in_both_paths(recipe, monkeypatch, options):
    with pytest.raises(SystemExit, match="with --of, --hyp and --out need {of} in them"):
        score(monkeypatch, **options)
    assert not (recipe / "exp/score").exists()
