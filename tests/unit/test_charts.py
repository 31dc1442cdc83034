"""The charts of a page: what they show of rows, trainings, classifiers and collections; what is absent is left out."""

from dataclasses import replace
from pathlib import Path

import pytest

from salience.errors import InputError
from salience.files import write_json
from salience.report.charts import FIGURES, Chart, Drawing, Panel

PANELS = [{"label": "dev WER (%)", "value": "eval_dev_wer"}]


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawing:
    monkeypatch.chdir(tmp_path)
    return Drawing("Digits", True)


def row(value: float = 7.0, **fields) -> dict:
    known = {"corpus": "Digits", "synthetic": True, "set": "test", "system": "plain", "metric": "wer", "snr": None}
    known |= {"normaliser": "raw 1", "value": value, "low": value - 1, "high": value + 2}
    return {**known, "values": [value], "paper": None, **fields}


def drawn(kind: str, *given, **options) -> dict[str, list[dict]]:
    """The points of each chart by its title; what altair makes of them is a whole specification."""
    found = {}
    for chart in FIGURES[kind](*given, **options):
        assert isinstance(chart, Chart)
        specification = chart.to_dict()["specification"]
        assert specification["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6")
        first = specification.get("layer", [specification])[0]
        found[chart.title] = specification.get("data", first.get("data"))["values"]
    return found


def test_rates_in_noise_and_over_sweeps(drawing: Drawing):
    rows = [
        row(value, snr=snr, set=name)
        for name in ("dev", "test")
        for snr, value in (("clean", 3), (20, 5), (0, 9), ("mean", 7))
    ]
    rows += [row(q, sweep="binarised", sweep_value=q, values=[q, q + 1], paper=5.1 if q else None) for q in (0, 1, 5)]
    rows += [row(9.0, sweep="binarised", sweep_value=None, system="baseline"), row(1, corpus="B", snr=5)]
    run = replace(drawing, rows=rows)
    found = drawn("noise", run, {"metric": "wer"}, "{set}", "{METRIC} (%), {normaliser}")
    assert list(found) == ["dev", "test"]
    assert [(point["x"], point["y"], point["low"]) for point in found["test"]] == [
        ("clean", 3, 2), ("20 dB", 5, 4), ("0 dB", 9, 8),
    ]  # fmt: skip
    (up,) = drawn("noise", run, {"set": "dev"}, "{set}", "", ascending=True).values()
    assert [point["x"] for point in up] == ["0 dB", "20 dB", "clean"]
    (points,) = drawn("sweep", run, {"sweep": "binarised"}, "Table 5", "q", {"baseline": "clean"}).values()
    assert [(point["x"], point["y"]) for point in points if point["kind"] == "mean over seeds"] == [
        ("0", 0.5), ("1", 1.5), ("5", 5.5), ("clean", 9.0),
    ]  # fmt: skip
    assert [point["x"] for point in points if point["kind"] == "the paper"] == ["1", "5"]
    assert sum(point["kind"] == "each seed" for point in points) == 7
    assert drawn("sweep", run, {"sweep": "conventional"}, "Table 1", "SNR") == {}


def test_weights_of_a_loss_are_drawn_where_their_noise_is_known(drawing: Drawing):
    rows = [
        row(value, metric=metric, weight=weight, weight_value=value, set=name)
        for weight in ("asr", "mask")
        for value in (10.0, 0.1, 1.0)
        for name, metrics in (("test", ("cer", "noise_proportion")), ("dev", ("cer",)))
        for metric in metrics
    ]
    found = drawn("weights", replace(drawing, rows=rows), {"metric": "cer"}, "{weight}, {set}")
    assert list(found) == ["asr, test", "mask, test"]
    accuracy = [(p["x"], p["y"]) for p in found["asr, test"] if p["name"] == "character accuracy"]
    assert accuracy == [(0.1, 99.9), (1.0, 99.0), (10.0, 90.0)]


def test_rows_with_a_curve_are_drawn(drawing: Drawing):
    rows = [
        row(system=name, metric="deletion_auc", curve=[[0, 90], [1, of]])
        for name, of in (("gradcam", 20), ("random", 70))
    ]
    found = drawn(
        "row-curves", replace(drawing, rows=rows), {"deletion_auc": "Deletion, {set}"}, "share", "accuracy (%)"
    )
    assert [(p["name"], p["x"], p["y"]) for p in found["Deletion, test"]][-1] == ("random", 1, 70)
    rows = [
        row(value, metric="phone_importance", accent=accent, phone_class=phones, system=system, n=9)
        for system in ("gradcam", "occlusion")
        for phones, accent, value in (("nasals", None, 1.5), ("nasals", "dutch", 0.5), ("stops", None, 0.9))
    ]
    where, run = {"metric": "phone_importance"}, replace(drawing, rows=rows)
    found = drawn("heat", run, where, "{system}", "accent", "phone_class", each=["set", "system"])
    assert list(found) == ["gradcam", "occlusion"]
    assert [(p["x"], p["y"], p["value"]) for p in found["occlusion"]] == [
        ("all", "nasals", 1.5), ("dutch", "nasals", 0.5), ("all", "stops", 0.9),
    ]  # fmt: skip


def history(*entries: dict, of: str) -> None:
    Path(of).mkdir(parents=True)
    write_json(Path(of) / "history.json", list(entries))


def test_trainings_are_drawn_as_asked(drawing: Drawing):
    for place in ("random/plain/seed1", "own/plain/seed10", "own/plain/seed2", "own/gradcam/seed1"):
        history({"step": 1, "eval_dev_wer": 9.0}, of=f"exp/{place}")
    pattern, options = "exp/{start}/{variant}/seed{seed}/history.json", {"title": "{start}", "panels": PANELS}

    def lines(run: Drawing, **more) -> dict[str, list[str]]:
        return {
            title: [p["line"] for p in points]
            for title, points in drawn("curves", run, pattern, **options, **more).items()
        }

    assert lines(drawing, line="{start}+{variant}/{seed}", order=["random", "own"]) == {
        "random: dev WER (%)": ["random+plain/1", "own+gradcam/1", "own+plain/2", "own+plain/10"]
    }
    by = {"line": "{variant}/{seed}", "each": "start"}
    assert lines(drawing, min_colours=2, **by) == {"own: dev WER (%)": ["gradcam/1", "plain/2", "plain/10"]}
    asked = replace(drawing, only="own/plain/2 random/plain/3")
    assert lines(asked, only="{start}/{variant}", **by) == {"own: dev WER (%)": ["plain/2"]}
    assert drawn("curves", asked, "$nowhere/{start}/history.json", **options) == {}


def test_panels_take_differences_scales_and_levels():
    entries = [
        {"step": 1, "update": 1, "loss": 9.0},
        {"step": 1, "update": 1, "eval_dev_cer": 50.0, "eval_dev_clean_cer": 8.0, "eval_dev_chance": 0.1},
        {"step": 1, "update": 3, "phase": 2, "eval_dev_cer": 9.0, "eval_dev_clean_cer": 8.0},
    ]
    panel = Panel("cost", "eval_dev_cer", None, "eval_dev_clean_cer", 2.0, "eval_dev_chance", "chance", True)
    assert list(panel.points(entries, ("update", "step"))) == [{"x": 1, "y": 84.0}, {"x": 3, "y": 2.0}]
    both = Panel("loss", "eval_dev_cer", "loss")
    assert [point["kind"] for point in both.points(entries, ("update",))] == ["training", "dev", "dev"]
    assert list(Panel("loss", "loss").points([{"loss": 9.0}, {"epoch": 2, "loss": 8.0}], ("epoch",))) == [
        {"x": 2, "y": 8.0}
    ]
    level = panel.chart({"seed 1": entries}, ("update",), "update").to_dict()["layer"][-1]["data"]["values"]
    assert level == [{"level": pytest.approx(0.2)}]
    assert Panel("nothing", "eval_dev_nothing").chart({"seed 1": entries}, ("step",), "step") is None


def test_confusions_of_several_seeds_are_added(drawing: Drawing):
    for task, name in (("accent", "accent_test"), ("accent", "accent_dev"), ("accent_random", "accent_test")):
        for seed in (1, 2):
            path = Path(f"exp/{task}/own/seed{seed}/{name}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"labels": ["a", "b"], "confusion": [[seed, 0], [0, 1]]})
    pattern = "exp/{task}/{start}/seed{seed}/{set}.json"
    found = drawn("confusion", drawing, pattern, "{set}, {start} start", "test")
    counts = {title: [cell["count"] for cell in cells] for title, cells in found.items()}
    assert counts == {"Confusion: accent_test, own start, 2 seeds together": [3, 0, 0, 2]}
    assert [cell["share"] for cell in next(iter(found.values()))] == [100, 0, 0, 100]
    assert list(drawn("confusion", drawing, "exp/{task:accent}/own/seed{seed:1}/accent_{set:dev}.json")) == [
        "Confusion: accent, dev"
    ]
    write_json(Path("exp/accent/own/seed2/accent_test.json"), {"labels": ["a", "c"], "confusion": [[1, 0], [0, 1]]})
    with pytest.raises(InputError, match="seed2/accent_test.json has other labels than"):
        drawn("confusion", drawing, pattern)


def test_histograms_of_a_collection(drawing: Drawing):
    histograms = {"duration": {"edges": [0, 2, 4], "counts": [3, 1]}}
    write_json(Path("collection.json"), {"histograms": histograms})
    assert drawn("histograms", drawing, "$collection") == {}
    run = replace(drawing, values={"collection": "collection.json"})
    assert drawn("histograms", run, "$collection") == {
        "The collection: Length of a clip (s)": [{"from": 0, "to": 2, "count": 3}, {"from": 2, "to": 4, "count": 1}]
    }
