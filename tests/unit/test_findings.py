"""The sentences that a report begins with, from made-up rows and comparisons."""

from pathlib import Path
from typing import Any

import pytest

from salience.errors import InputError
from salience.report.findings import RULES, finding
from salience.report.frames import Part
from salience.report.render import markdown, terminal
from salience.report.sections import report
from salience.scoring.results import new_row
from salience.scoring.specification import Specification, read_specification

COMMON = {"corpus": "toy", "synthetic": False, "command": "./run.sh", "commit": "abc", "date": "2026-01-31"}
ENTRY = {"system": "a", "against": "b", "where": {"set": "test"}, "place": "On test", "names": {"a": "masking"}}


def rates(**values: float) -> list[dict[str, Any]]:
    fields = {"set": "test", "metric": "wer", "normaliser": "plain 1", "seeds": [1]}
    return [new_row(COMMON, system=system, value=value, **fields) for system, value in values.items()]


def compared(against: str = "b", low: float = -3.0, high: float = -1.0, differences: Any = (-2.0,)) -> dict[str, Any]:
    where = {"system": "a", "against": against, "set": "test", "metric": "wer", "normaliser": "plain 1", "p": 0.01}
    span = {"difference": (low + high) / 2, "low": low, "high": high, "differences": list(differences)}
    return {**COMMON, **where, **span, "n": 9, "resampled": "speaker"}


def said(*comparisons: dict[str, Any], rows: Any = None, run: Any = None, **entry: Any) -> list[str]:
    part = Part(rows or rates(a=18.0, b=20.0, c=30.0), comparisons, run or {}, "wer")
    return finding([{**ENTRY, **entry}], [part], "report.yaml: finding")


@pytest.mark.parametrize(
    ("low", "high", "differences", "verdict", "certainty"),
    [
        (-3, -1, [-2.0], "better than b by 2.0 points", "1.0 to 3.0, one training seed"),
        (-3, -1, [-2, -3], "better than b by 2.0 points", "1.0 to 3.0, in 2 of 2 seeds"),
        (-3, -1, [-5, 1], "better on average than b by 2.0 points", "1.0 to 3.0, in 1 of 2 seeds"),
        (1, 3, [1, 3], "worse than b by 2.0 points", "1.0 to 3.0, in 2 of 2 seeds"),
        (1, 3, [-1, 5], "worse on average than b by 2.0 points", "1.0 to 3.0, in 1 of 2 seeds"),
        (-3, -1, [], "better than b by 2.0 points", "1.0 to 3.0"),
        # An interval that leaves out zero by less than a decimal does not look as if it had it.
        (-0.4, -0.02, [-0.2], "better than b by 0.21 points", "0.02 to 0.40, one training seed"),
    ],
)
def test_better_and_worse_are_what_interval_and_seeds_show(
    low: float, high: float, differences: list[float], verdict: str, certainty: str
):
    (sentence,) = said(compared(low=low, high=high, differences=differences))
    assert sentence == f"On test, masking (WER 18.0 %) is {verdict} (95 % interval {certainty})."


@pytest.mark.parametrize(
    ("low", "high", "differences", "certainty"),
    [(-3, 1, [-1, 1], "-3.0 to 1.0, better in 1 of 2 seeds"), (-2, 0, [-1], "-2.0 to 0.0, one training seed")],
)
def test_no_difference_is_shown_where_the_interval_has_zero(
    low: float, high: float, differences: list[float], certainty: str
):
    (sentence,) = said(compared(low=low, high=high, differences=differences))
    of_both = f"masking (WER 18.0 %) and b (20.0 %; difference -1.0 points, 95 % interval {certainty})"
    assert sentence == f"On test, no difference is shown between {of_both}."


def test_several_rivals_make_one_sentence():
    rivals = (compared(), compared("c", 1, 3, [2.0]), compared("d", -1, 2))
    assert said(*rivals, against=["b", "c", "d", "e"]) == [
        "On test, masking (WER 18.0 %) is better than b by 2.0 points (95 % interval 1.0 to 3.0, one training seed) "
        "and worse than c by 2.0 points (95 % interval 1.0 to 3.0, one training seed); "
        "no difference from d is shown (0.5 points, 95 % interval -1.0 to 2.0, one training seed)."
    ]


def test_own_texts_are_taken_by_the_verdict_and_the_paper_s_figures_where_it_has_them():
    texts = {"better": "gains {points}", "worse": "costs {points}, hides {hidden}", "open": "is {value}"}
    extra = {"values": {"hidden": {"metric": "masked_share"}}, "paper": " (paper: {value_paper} and {other_paper})"}
    rows = [*rates(a=18.0, b=20.0), new_row(COMMON, system="a", metric="masked_share", value=12.34)]
    assert said(compared(), rows=rows, **texts, **extra) == ["gains 2.0."]
    assert said(compared(low=-1, high=1), rows=rows, **texts, **extra) == ["is 18.0."]
    rows = [{**row, "paper": row["value"] + 1} for row in rows]
    assert said(compared(low=1, high=3), rows=rows, **texts, **extra) == [
        "costs 2.0, hides 12.3 (paper: 19.0 and 21.0)."
    ]


def test_where_no_set_is_named_the_first_that_is_compared_is():
    other = [row | {"set": "dev"} for row in rates(a=1.0, b=2.0)]
    (sentence,) = said(compared(), rows=[*other, *rates(a=18.0, b=20.0)], where={}, place="On {set}")
    assert sentence.startswith("On test, masking (WER 18.0 %) is better than b")


def test_what_is_not_there_is_not_said():
    assert said() == [] and said(compared("c")) == []
    assert said(missing="Nothing was measured.") == ["Nothing was measured."]
    assert said(compared(), corpus="other", missing="None.") == ["None."]
    counts = {"values": {"clips": {"metric": "samples"}}, "text": "There are {clips} clips.", "missing": "None."}
    assert said(**counts) == ["None."]
    assert said(rows=[new_row(COMMON, metric="samples", value=1234)], **counts) == ["There are 1,234 clips."]
    assert finding([{**ENTRY, "missing": "None."}], [], "x") == ["None."]


def test_sets_are_found_by_what_their_noise_is():
    noisy = [{**item, "set": "cafe", "snr": "mean"} for item in (compared(), *rates(a=1.0, b=2.0))]
    run = {"noisy_sets": {"in-domain": "cafe"}}
    (sentence,) = said(noisy[0], rows=noisy[1:], run=run, where={"set": "{in-domain}", "snr": "mean"})
    assert sentence.startswith("On test, masking (WER 1.0 %) is better than b by 2.0 points")


def test_a_rule_of_its_own_says_what_it_finds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(RULES, "sizes", lambda part: [f"{len(part.rows)} rows."])
    assert finding([{"rule": "sizes"}, ENTRY], [Part(rates(a=1.0), [compared()], {}, "wer")], "x")[0] == "1 rows."


def test_a_rule_is_of_the_first_corpus_that_has_something_to_say(monkeypatch: pytest.MonkeyPatch):
    def sizes(part: Part) -> list[str]:
        return [f"There are {len(part.rows)} rows.", "They are new."] if len(part.rows) > 2 else []

    monkeypatch.setitem(RULES, "sizes", sizes)
    other = [row | {"corpus": "other, seed 1"} for row in rates(a=1.0, b=2.0, c=3.0)]
    parts = [Part(rates(a=18.0, b=20.0), [compared()], {}, "wer"), Part(other, [], {}, "wer")]
    on = {"rule": "sizes"}
    of_other = ['In "other, seed 1", there are 3 rows.', "They are new."]
    first, *others = finding([ENTRY, on], parts, "x")
    assert first.startswith("On test, masking (WER 18.0 %)") and others == of_other
    # The corpus that the report shows first is not named, and nothing is said twice.
    assert finding([on], parts[::-1], "x") == ["There are 3 rows.", "They are new."]
    assert finding([on, on], parts, "x") == of_other
    assert finding([on], parts[:1], "x") == finding([on], [], "x") == []
    # Another may be asked first; where it is not there, or has nothing to say, it makes no difference.
    parts.append(Part([row | {"corpus": "best"} for row in other * 2], [], {}, "wer"))
    of_best = ['In "best", there are 6 rows.', "They are new."]
    assert finding([on | {"corpus": "best"}], parts, "x") == of_best
    assert finding([on, on | {"corpus": "best"}], parts, "x") == of_other + of_best
    for corpus in ("none", "toy"):
        assert finding([on | {"corpus": corpus}], parts, "x") == finding([on], parts, "x") != []
    with pytest.raises(InputError, match="x has the unknown key 'corpora'; it may have: rule, corpus"):
        finding([{"rule": "sizes", "corpora": "other"}], parts, "x")


def test_what_else_was_found_stands_below_the_table_and_is_optional(tmp_path: Path):
    counted = {"text": "{n} rows.", "values": {"n": {"metric": "wer"}}}
    recipe = wanted(tmp_path, further=(counted, ENTRY | {"system": "c"}))
    found = report(results(), recipe)
    assert len(found.finding) == 1 and found.further == ["18.0 rows."]
    assert "| b | 20.0 |\n\nFurther findings:\n\n- 18.0 rows.\n\nHow to repeat it" in markdown(found)
    assert terminal(found).endswith("\n\n- 18.0 rows.")
    assert "Further" not in markdown(report(results(), wanted(tmp_path)))
    with pytest.raises(InputError, match="report.yaml: further has the unknown key 'x'"):
        report(results(), wanted(tmp_path, further=({"x": 1},)))


def results(**more: Any) -> dict[str, list[dict[str, Any]]]:
    rows = [*rates(a=18.0, b=20.0), *({**row, **more} for row in (rates(a=1.0) if more else ()))]
    run = {**COMMON, "seeds": [1], "versions": {"python": "3.11"}, "settings": {}, "machine": "2 cores", "hours": 1.5}
    return {"rows": rows, "comparisons": [compared()], "runs": [run]}


def wanted(folder: Path, **more: Any) -> Specification:
    columns = ["system", {"title": "WER"}, {"title": "paper", "show": "paper"}]
    main = {"title": "WER in %", "where": {"metric": "wer"}, "by": "system", "columns": columns}
    return Specification(folder / "report.yaml", "Toy (A and B 2025)", finding=(ENTRY,), main=main, **more)


def test_only_real_speech_counts_where_there_is_any(tmp_path: Path):
    found = report(results(corpus="mini", synthetic=True), wanted(tmp_path, legend="a hides, b does not."))
    assert found.main.note == "a hides, b does not."
    assert not found.synthetic and [section.corpus for section in found.sections] == ["toy"]
    assert found.main.rows == [["a", "18.0"], ["b", "20.0"]]
    page = markdown(found)
    assert "`./run.sh` at commit abc (2026-01-31, seeds 1, on 2 cores, 1.5 hours in all)" in page
    synthetic = {name: [{**item, "synthetic": True} for item in items] for name, items in results().items()}
    assert report(synthetic, wanted(tmp_path)).synthetic
    assert "**SYNTHETIC speech" in markdown(report(synthetic, wanted(tmp_path)))


def test_where_nothing_is_measured_the_paper_s_table_stands_with_an_empty_column(tmp_path: Path):
    (tmp_path / "paper.yaml").write_text("figures: {a: {test: {wer: 7.0}}, b: {test: {wer: 8.0}}}\n")
    nothing = dict.fromkeys(("rows", "comparisons", "runs"), ())
    found = report(nothing, wanted(tmp_path, paper="paper.yaml", command="./run.sh --root DIR", headline="toy"))
    assert found.main.headers == ["system", "WER", "paper"]
    assert found.main.rows == [["a", "–", "7.0"], ["b", "–", "8.0"]] and found.sections == []
    assert "How to measure it: `./run.sh --root DIR`." in markdown(found)


def test_the_headline_comes_first_whatever_the_order_of_rows(tmp_path: Path):
    found = report(results(corpus="other"), wanted(tmp_path, headline="other"))
    assert [section.corpus for section in found.sections] == ["other", "toy"] and found.main.rows == [["a", "1.0"]]
    # Of a corpus without a main table, nothing comes first.
    without = report(
        {**results(), "rows": [{**new_row(COMMON, metric="hours", value=1), "corpus": "tapes"}, *results()["rows"]]},
        wanted(tmp_path),
    )
    assert [section.corpus for section in without.sections] == ["toy", "tapes"] and without.finding != []
    assert read_specification(Path(__file__).parents[2] / "egs/an4/conf/report.yaml").headline
