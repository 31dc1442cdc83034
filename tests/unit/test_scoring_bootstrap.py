"""Intervals and tests against cases whose answer is known."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from salience.errors import InputError
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units, two_sided_p
from salience.scoring.classification import classification_scores, classifier_rows

COMMON = ("corpus", "synthetic", "command", "commit", "date")


def test_the_interval_of_a_mean_is_the_analytic_one():
    # Equal lengths and one utterance a speaker: the rate is a mean of n, its error the standard error.
    errors = np.random.default_rng(0).integers(0, 11, (400, 1)).astype(float)
    low, high = interval(resampled_rates(errors, np.full((400, 1), 10.0), range(400), "x")[:, 0])
    mean, error = 10 * errors.mean(), 10 * errors.std() / 20
    assert low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    lengths = np.full((30 * 4, 1), 10.0)
    speakers = np.repeat(np.arange(30), 4)
    covered = 0
    for trial in range(200):
        skill = random.beta(4, 12, 30)  # Speakers differ: the true rate is 25 %.
        errors = random.binomial(10, skill[speakers])[:, None].astype(float)
        low, high = interval(resampled_rates(errors, lengths, speakers, f"{trial}", draws=500)[:, 0])
        covered += low <= 25 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_speakers_are_drawn_whole():
    # Ten alike utterances a speaker: drawing speakers gives sqrt(10) times the width of drawing utterances.
    skill = np.random.default_rng(2).integers(0, 11, 40)
    errors, lengths = np.repeat(skill, 10)[:, None].astype(float), np.full((400, 1), 10.0)
    by_speaker = np.ptp(interval(resampled_rates(errors, lengths, np.repeat(np.arange(40), 10), "x")[:, 0]))
    by_utterance = np.ptp(interval(resampled_rates(errors, lengths, np.arange(400), "x")[:, 0]))
    assert by_speaker / by_utterance == pytest.approx(np.sqrt(10), rel=0.1)


def test_neither_order_nor_repetition_changes_a_draw():
    random = np.random.default_rng(3)
    errors, lengths, units = (random.random((50, 2)), random.random((50, 2)) + 1, [f"s{i % 12}" for i in range(50)])
    order = random.permutation(50)
    first = resampled_rates(errors, lengths, units, "a", draws=100)
    again = resampled_rates(errors[order], lengths[order], [units[i] for i in order], "a", draws=100)
    np.testing.assert_allclose(first, again)
    assert not np.allclose(first, resampled_rates(errors, lengths, units, "b", draws=100))


def test_identical_systems_do_not_differ_and_exchanged_ones_mirror():
    random = np.random.default_rng(4)
    one, other = random.integers(0, 5, (2, 80))
    columns = np.stack([one, one, other], axis=1).astype(float)
    samples = resampled_rates(columns, np.full((80, 3), 8.0), range(80), "x", draws=2000)
    same = samples[:, 0] - samples[:, 1]
    assert (interval(same), two_sided_p(same)) == ((0.0, 0.0), 1.0)
    there, back = samples[:, 0] - samples[:, 2], samples[:, 2] - samples[:, 0]
    assert interval(there) == pytest.approx(tuple(-x for x in reversed(interval(back))))
    assert two_sided_p(there) == two_sided_p(back)


def test_a_paired_test_sees_a_small_difference_on_the_same_utterances():
    base = np.random.default_rng(5).integers(0, 8, 200).astype(float)
    better = base.copy()
    better[np.flatnonzero(base)[::4]] -= 1
    samples = resampled_rates(np.stack([better, base], axis=1), np.full((200, 2), 8.0), range(200), "x")
    difference = samples[:, 0] - samples[:, 1]
    assert two_sided_p(difference) < 0.001
    # Unpaired, the same gap drowns in the differences between utterances.
    assert interval(samples[:, 0])[1] > interval(samples[:, 1])[0]


def test_p_under_no_difference_is_not_small_too_often():
    random, small = np.random.default_rng(6), 0
    for trial in range(200):
        errors = random.integers(0, 6, (60, 2)).astype(float)
        samples = resampled_rates(errors, np.full((60, 2), 10.0), range(60), f"{trial}", draws=500)
        small += two_sided_p(samples[:, 0] - samples[:, 1]) < 0.05
    assert small / 200 <= 0.12


def test_few_speakers_mean_utterances_and_the_row_says_so():
    assert resampling_units(["a", "b"] * 10, [f"u{i}" for i in range(20)])[1] == "utterance"
    assert resampling_units([f"s{i}" for i in range(20)], [f"u{i}" for i in range(20)])[1] == "speaker"


def test_classification_scores():
    truth = ["x", "x", "x", "y", "y", "y"]
    heard = ["x", "x", "y", "y", "y", "x"]
    scores = classification_scores(list("abcdef"), truth, heard, ["s", "s", "t", "t", "u", "u"], ["x", "y", "z"])
    assert scores["accuracy"] == pytest.approx(100 * 4 / 6)
    assert scores["macro_f1"] == pytest.approx(100 * 2 / 3)  # precision and recall of both are 2 / 3
    assert scores["per_speaker"] == {"s": 100.0, "t": 50.0, "u": 50.0}
    assert scores["speaker_accuracy"] == pytest.approx(200 / 3)
    assert scores["confusion"] == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert scores["chance"] == 50.0
    assert scores["low"] <= scores["accuracy"] <= scores["high"]


def test_scores_of_each_class_against_sklearn():
    """Recall and F1; the interval of a class is that of its own speakers, a point where it is always right."""
    random = np.random.default_rng(1)
    truth = random.choice(list("xyz"), 90).tolist()
    heard = [t if t == "z" else random.choice(list("xy")) for t in truth]
    speakers = [f"s{n // 2:02}" for n in range(90)]
    scores = classification_scores([f"u{n}" for n in range(90)], truth, heard, speakers, list("wxyz"))
    report = classification_report(truth, heard, output_dict=True)
    assert list(scores["per_class"]) == ["x", "y", "z"]
    for label, own in scores["per_class"].items():
        assert own["n"] == report[label]["support"] == truth.count(label)
        assert own["accuracy"] == pytest.approx(100 * report[label]["recall"])
        assert own["f1"] == pytest.approx(100 * report[label]["f1-score"])
        assert own["f1_low"] <= own["f1"] <= own["f1_high"]
    assert {scores["per_class"]["z"][end] for end in ("accuracy", "accuracy_low", "accuracy_high", "f1_low")} == {100}
    # A binomial interval of as many utterances is about as wide.
    x = scores["per_class"]["x"]
    wide = 2 * 1.96 * np.sqrt(x["accuracy"] * (100 - x["accuracy"]) / x["n"])
    assert x["accuracy_high"] - x["accuracy_low"] == pytest.approx(wide, rel=0.25)
    assert scores["macro_f1"] == pytest.approx(100 * report["macro avg"]["f1-score"])
    assert scores["macro_f1_low"] < scores["macro_f1"] < scores["macro_f1_high"]

    rows = classifier_rows([({"system": "cnn", "set": "test"}, scores)], dict.fromkeys(COMMON))
    of_class = {(r["accent"], r["metric"]): r for r in rows if r["metric"].startswith("class_")}
    assert len(of_class) == 6 and of_class["x", "class_accuracy"]["low"] == pytest.approx(x["accuracy_low"], abs=1e-3)
    assert (of_class["z", "class_f1"]["value"], of_class["z", "class_f1"]["n"]) == (100, truth.count("z"))
    assert sum("speaker" in row for row in rows) == 45  # with two utterances each


def test_a_speaker_with_one_utterance_has_no_row():
    speakers = [f"s{n}" for n in range(12)]
    scores = classification_scores(speakers, ["x", "y"] * 6, ["x"] * 12, speakers, ["x", "y"])
    rows = classifier_rows([({}, scores)], dict.fromkeys(COMMON))
    assert not any("speaker" in row for row in rows) and any(row["metric"] == "speaker_accuracy" for row in rows)


def test_a_label_the_classifier_never_saw_is_an_error():
    with pytest.raises(InputError, match="the label q is none of the classifier's"):
        classification_scores(["a"], ["q"], ["x"], ["s"], ["x", "y"])
