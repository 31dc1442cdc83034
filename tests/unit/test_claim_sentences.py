"""What the report says of a claim and of gaps: each outcome in words, with no number that is not in results.json."""

import re

import pytest
from claim_helpers import COMMON, JUDGED, TEXT, compared, comparison

from salience.report.claims import claim_sentences, gap_sentences, harm_sentences, statement_sentences
from salience.report.frames import Part
from salience.scoring.claims import attach_claim, read_claim
from salience.scoring.results import new_row


@pytest.fixture
def part(tmp_path):
    (tmp_path / "claim.yaml").write_text(TEXT)
    return lambda items: Part(judged(tmp_path / "claim.yaml", items), items, {}, "wer")


def judged(path, items):
    return attach_claim(read_claim(path), items, JUDGED, COMMON)


def test_a_claim_that_holds(part):
    holds = part(compared(**{"gradcam other-mask seen": {"difference": -0.25, "p": 0.012}}))
    assert claim_sentences(holds) == [
        "It is shown that the map matters, that masking matters and that it beats SpecAugment."
    ]
    assert statement_sentences(holds) == [
        "It is shown that the map matters (gradcam is 0.25 to 1.00 points better than random-mask and other-mask on "
        "seen and unseen, corrected p 0.002 to 0.012, in 3 of 3 seeds).",
        "It is shown that masking matters (gradcam is 1.00 points better than plain on seen and unseen and "
        "random-mask is 1.00 points better than plain on seen and unseen, corrected p = 0.002, in 3 of 3 seeds).",
        "It is shown that it beats SpecAugment (gradcam is 1.00 points better than specaugment on seen and unseen, "
        "corrected p = 0.002, in 3 of 3 seeds).",
    ]


def test_statements_of_a_second_claim_follow(tmp_path):
    (tmp_path / "claim.yaml").write_text(TEXT)
    (tmp_path / "second.yaml").write_text("statements: [{says: more helps, better: more, than: less, sets: seen}]")
    items = [*compared(), comparison("more", "less", "seen")]
    rows = [row for name in ("claim", "second") for row in judged(tmp_path / f"{name}.yaml", items)]
    both = Part(rows, items, {}, "wer")
    assert claim_sentences(both)[1:] == ["It is shown that more helps."] and len(claim_sentences(both)) == 2
    said = statement_sentences(both)
    assert said[0].startswith("It is shown that the map matters (") and said[3:] == [
        "It is shown that more helps (more is 1.00 points better than less on seen, corrected p < 0.001, in 3 of 3 "
        "seeds)."
    ]


def test_what_fails_is_named_with_its_figures(part):
    worse = {"difference": 0.4, "differences": [0.3, 0.4, 0.5], "p": 0.03}
    seed = {"difference": -0.1, "differences": [-0.3, -0.1, 0.1], "p": 0.4}
    failed = part(compared(**{"gradcam random-mask unseen": worse, "gradcam other-mask seen": seed}))
    assert statement_sentences(failed)[0] == (
        "It is not shown that the map matters (of its 4 comparisons, 2 fail: gradcam against random-mask on unseen "
        "0.40 points worse, gradcam against other-mask on seen 0.10 points better)."
    )
    assert claim_sentences(failed) == [
        "It is shown that masking matters and that it beats SpecAugment; it is not shown that the map matters."
    ]
    failed = part(compared(**{"gradcam random-mask unseen": worse, "gradcam random-mask seen": seed}))
    assert statement_sentences(failed)[0] == (
        "It is not shown that the map matters (of its 4 comparisons, 2 fail: gradcam against random-mask on seen and "
        "unseen 0.10 points better to 0.40 worse)."
    )


def test_what_is_lacking_is_named(part):
    there = [item for item in compared() if item["against"] != "other-mask"]
    assert statement_sentences(part(there))[0] == (
        "It cannot be said whether the map matters (no scores with the same seeds: gradcam against other-mask on seen "
        "and unseen)."
    )
    failed = [item | ({"p": 0.5} if item["against"] == "random-mask" else {}) for item in there]
    assert statement_sentences(part(failed))[0] == (
        "It is not shown that the map matters (of its 2 comparisons, all fail: gradcam against random-mask on seen and "
        "unseen 1.00 points better, and there are no scores of gradcam against other-mask on seen and unseen)."
    )
    assert claim_sentences(part([])) == [
        "It cannot be said whether the map matters, whether masking matters or whether it beats SpecAugment."
    ]
    assert claim_sentences(Part([], [], {}, "wer")) == statement_sentences(Part([], [], {}, "wer")) == []


def test_only_the_systems_that_do_it_are_named_where_one_is_enough(part):
    statements = statement_sentences(part(compared(**{"gradcam plain seen": {"p": 0.6}})))
    assert statements[1].startswith("It is shown that masking matters (random-mask is 1.00 points better than plain")
    assert "gradcam" not in statements[1]


def test_training_that_does_harm_is_said(part):
    lost = {"difference": 3.3, "low": 2.1, "high": 4.4, "differences": [3.3], "p": 0.0002}
    assert harm_sentences(part(compared(**{"plain zero-shot unseen": lost}))) == [
        "Fine-tuning does harm: plain is 3.30 points worse than zero-shot on unseen; what beats plain there may be no "
        "better than zero-shot."
    ]
    assert harm_sentences(part(compared(**{"plain zero-shot unseen": lost | {"low": -0.1}}))) == []


def test_every_number_is_in_the_results(part):
    items = compared(
        **{
            "gradcam random-mask unseen": {"difference": 0.41, "differences": [0.2, 0.41, 0.62], "p": 0.031},
            "gradcam plain seen": {"difference": -0.77, "differences": [-0.7, -0.77, -0.84], "p": 0.009},
            "plain zero-shot seen": {"difference": 2.34, "low": 1.1, "high": 3.6, "p": 0.0021},
        }
    )
    sentences = [*statement_sentences(part(items)), *harm_sentences(part(items))]
    assert len(sentences) == 4
    known = {"3", "1", "2", "4"}  # seeds and comparisons
    for item in items:
        known |= {f"{abs(item['difference']):.2f}", f"{item['p']:.3f}"}
        known |= {text % item.get("p_adjusted", 0) for text in ("%.3f", "%.2f")}
    for sentence in sentences:
        assert set(re.findall(r"\d+(?:\.\d+)?", sentence)) <= known, sentence


def gap(metric: str, difference: float, low: float, high: float) -> dict:
    return {"system": "gradcam", "against": "plain", "set": "seen", "metric": metric} | {
        "difference": difference, "low": low, "high": high
    }  # fmt: skip


ROWS = [
    new_row(COMMON, set="seen", system=system, metric=metric, native="us" if metric == "wer_gap" else None)
    for system in ("plain", "gradcam") for metric in ("wer_mean", "wer_spread", "wer_gap")
]  # fmt: skip


def test_a_lower_mean_with_a_wider_gap_is_said_and_no_more_than_is_shown():
    mean, wider = gap("wer_mean", -0.8, -1.2, -0.3), gap("wer_gap", 0.5, 0.1, 0.9)
    spread = gap("wer_spread", 0.6, 0.2, 1.0)
    assert gap_sentences(Part(ROWS, [mean, spread, wider], {}, "wer")) == [
        "Better on average over accents, but less even: gradcam against plain on seen (mean 0.80 points lower, "
        "the spread over accents 0.60 wider); gradcam against plain on seen (mean 0.80 points lower, the gap to "
        "us 0.50 wider)."
    ]
    for unshown in (
        [mean, wider | {"low": -0.1}],
        [mean, wider | {"difference": -0.5, "low": -0.9, "high": -0.1}],
        [mean | {"high": 0.1}, wider],
        [mean | {"difference": 0.8, "low": 0.3, "high": 1.2}, wider],
        [mean, wider | {"set": "unseen"}],
    ):
        assert gap_sentences(Part(ROWS, unshown, {}, "wer")) == []
