"""The gap between accents and their spread: known by construction, and against a plain bootstrap."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from salience.errors import InputError
from salience.files import write_json
from salience.scoring import gaps
from salience.scoring.bootstrap import resampled_rates
from salience.scoring.gaps import Gaps
from salience.scoring.rates import Scores
from salience.scoring.sources import SOURCES, Run
from salience.scoring.specification import called_by_kind, select

COMMON = {"corpus": "toy", "synthetic": False, "recogniser": "mini", "command": "c", "commit": "a", "date": "d"}
KIND = ("normalised", "wer")


def scores(
    rates: dict[str, float], speakers: int = 8, seeds: int = 3, accents: bool = True, noise: float = 0
) -> Scores:
    """Utterances of 100 words, two a speaker, each accent with its rate, give or take noise by speaker."""
    rng = np.random.default_rng(1)
    labels = [accent for accent in rates for _ in range(2 * speakers)]
    base = np.array([rates[accent] for accent in labels], float)
    errors = np.stack([base for _ in range(seeds)]) + noise * np.repeat(
        rng.standard_normal((seeds, len(labels) // 2)), 2, axis=1
    )
    ids = [("", f"{accent}-{i // 2:02}-{i % 2}") for accent in rates for i in range(2 * speakers)]
    return Scores(
        ids=ids,
        speakers=[key.rpartition("-")[0] for _, key in ids],
        accents=labels if accents else None,
        normalisers={"raw": "raw 1", "normalised": "n 1"},
        seeds=list(range(1, seeds + 1)),
        missing=0,
        truncated=0,
        lengths={(kind, "wer"): np.full(len(ids), 100.0) for kind in ("raw", "normalised")},
        errors={("raw", "wer"): 2 * errors, KIND: errors},
    )


NATIVE = {"us": 5.0}
SEEN = {"french": 10.0, "russian": 20.0, "dutch": 15.0}


def rows_of(found: list[dict], metric: str, accent: str | None = None) -> dict[str, dict]:
    return {row["system"]: row for row in select(found, {"metric": metric, "accent": accent})}


def test_gap_mean_and_spread_of_known_rates():
    systems = {"seen": {"plain": scores(SEEN)}, "native": {"plain": scores(NATIVE)}}
    rows, _ = Gaps(["seen"], "native").results("seen", systems, [], COMMON)
    gap = rows_of(rows, "wer_gap")["plain"]
    assert (gap["value"], gap["low"], gap["high"], gap["values"]) == (15.0, 15.0, 15.0, [15.0, 15.0, 15.0])
    assert (gap["worst"], gap["native"], gap["set"], gap["normaliser"]) == ("russian", "native", "seen", "n 1")
    assert (gap["n"], gap["speakers"], gap["accents"]) == (64, 32, ["dutch", "french", "russian", "native"])
    of_each = {accent: rows_of(rows, "wer_gap", accent)["plain"] for accent in SEEN}
    assert {accent: row["value"] for accent, row in of_each.items()} == {"french": 5, "russian": 15, "dutch": 10}
    assert of_each["french"]["n"] == 32
    assert rows_of(rows, "wer_mean")["plain"]["value"] == 12.5
    assert rows_of(rows, "wer_spread")["plain"]["value"] == pytest.approx(np.std([10, 20, 15, 5]), abs=1e-3)


def test_the_native_accent_may_be_one_of_the_set_or_there_may_be_none():
    systems = {"test": {"plain": scores(SEEN | NATIVE)}}
    rows, _ = Gaps(["test"], "us").results("test", systems, [], COMMON)
    assert rows_of(rows, "wer_gap")["plain"]["value"] == 15.0
    rows, _ = Gaps(["test"]).results("test", systems, [], COMMON)
    assert {row["metric"] for row in rows} == {"wer_mean", "wer_spread"}
    # A set of native speakers is one, whatever accents it has; so is a set without accents.
    systems["native"] = {"plain": scores({"us": 4.0, "canada": 6.0})}
    rows, _ = Gaps(["test"], "native").results("test", systems, [], COMMON)
    assert rows_of(rows, "wer_gap")["plain"]["value"] == 15.0 and "us" in rows[0]["accents"]
    systems["mixed"] = {"plain": scores({"x": 30.0, "y": 40.0}, accents=False)}
    rows, _ = Gaps(["test", "mixed"], "native").results("both", systems, [], COMMON)
    assert (rows_of(rows, "wer_gap")["plain"]["value"], rows_of(rows, "wer_gap")["plain"]["worst"]) == (30.0, "mixed")


def test_a_system_that_lowers_the_mean_widens_the_gap_and_has_its_own_worst_accent():
    better = {"french": 4.0, "russian": 8.0, "dutch": 17.0}
    systems = {
        "seen": {"plain": scores(SEEN, noise=2), "gradcam": scores(better, noise=2)},
        "native": {"plain": scores(NATIVE, noise=2), "gradcam": scores({"us": 1.0}, noise=2)},
    }
    rows, compared = Gaps(["seen"], "native").results("seen", systems, [("gradcam", "plain")], COMMON)
    assert [rows_of(rows, "wer_gap")[name]["worst"] for name in ("plain", "gradcam")] == ["russian", "dutch"]
    by_metric = {item["metric"]: item for item in compared}
    assert list(by_metric) == ["wer_mean", "wer_spread", "wer_gap"]
    # The same noise in both systems: paired, nothing of it is left in the mean, and in each seed.
    mean = by_metric["wer_mean"]
    assert mean["difference"] == pytest.approx(-5.0) == mean["low"] == mean["high"] and mean["p"] < 0.001
    assert mean["differences"] == [-5.0] * 3
    gap = by_metric["wer_gap"]
    assert gap["difference"] == pytest.approx(1.0, abs=2) and gap["low"] < gap["difference"] < gap["high"]


def test_identical_systems_do_not_differ_and_other_systems_change_nothing():
    one, other = scores(SEEN, noise=5), scores({"french": 1, "russian": 2, "dutch": 3}, noise=1)
    alone, compared = Gaps(["s"]).results("s", {"s": {"a": one, "b": one}}, [("a", "b")], COMMON)
    for item in compared:
        assert (item["difference"], item["low"], item["high"], item["p"]) == (0, 0, 0, 1)
        assert item["differences"] == [0, 0, 0]
    among, _ = Gaps(["s"]).results("s", {"s": {"other": other, "a": one}}, [], COMMON)
    assert select(among, {"system": "a"}) == select(alone, {"system": "a"})


def test_without_the_same_seeds_there_are_no_differences_by_seed():
    systems = {"s": {"a": scores(SEEN, noise=2), "zero-shot": replace(scores(SEEN, noise=2, seeds=1), seeds=[0])}}
    _, compared = Gaps(["s"]).results("s", systems, [("a", "zero-shot")], COMMON)
    assert [item["differences"] for item in compared] == [[], []]


def naive(systems: dict[str, Scores], native: str, draws: int) -> dict[str, np.ndarray]:
    """Draws of each quantity, by lists of speakers and a loop over draws."""
    rng, found = np.random.default_rng(99), {name: [] for name in ("wer_mean", "wer_spread", "wer_gap", "difference")}
    first = systems["a"]
    by_accent = {accent: {} for accent in first.accents}
    for place, (accent, speaker) in enumerate(zip(first.accents, first.speakers)):
        by_accent[accent].setdefault(speaker, []).append(place)

    def rates(chosen: dict[str, list[int]], name: str) -> dict[str, float]:
        errors = systems[name].errors[KIND].mean(axis=0)
        return {
            accent: 100 * sum(errors[i] for i in places) / sum(first.lengths[KIND][i] for i in places)
            for accent, places in chosen.items()
        }

    everyone = {accent: [i for places in of.values() for i in places] for accent, of in by_accent.items()}
    point = {name: rates(everyone, name) for name in systems}
    worst = {name: max((rate, a) for a, rate in point[name].items() if a != native)[1] for name in systems}
    for _ in range(draws):
        drawn = {
            accent: [i for speaker in rng.choice(list(of), len(of)) for i in of[speaker]]
            for accent, of in by_accent.items()
        }
        of = {name: rates(drawn, name) for name in systems}
        above = {name: of[name][worst[name]] - of[name][native] for name in systems}
        found["wer_mean"].append(np.mean(list(of["a"].values())))
        found["wer_spread"].append(2 * np.std(list(point["a"].values())) - np.std(list(of["a"].values())))
        found["wer_gap"].append(above["a"])
        found["difference"].append(above["a"] - above["b"])
    return {name: np.percentile(values, (2.5, 97.5)) for name, values in found.items()}


def test_intervals_are_those_of_a_plain_bootstrap():
    systems = {"a": scores(SEEN | NATIVE, noise=12), "b": scores(SEEN | {"us": 9.0}, noise=6)}
    # Unequal lengths, so that rates are of corpora and not means of utterances.
    lengths = np.random.default_rng(2).integers(50, 200, len(systems["a"].ids)).astype(float)
    systems = {name: replace(one, lengths={KIND: lengths}) for name, one in systems.items()}
    rows, compared = Gaps(["s"], "us").results("s", {"s": systems}, [("a", "b")], COMMON)
    expected = naive(systems, "us", 3000)
    found = {metric: rows_of(rows, metric)["a"] for metric in ("wer_mean", "wer_spread", "wer_gap")}
    found["difference"] = compared[-1]
    for name, (low, high) in expected.items():
        assert found[name]["low"] == pytest.approx(low, abs=0.06 * (high - low)), name
        assert found[name]["high"] == pytest.approx(high, abs=0.06 * (high - low)), name


def test_intervals_cover_the_truth(monkeypatch: pytest.MonkeyPatch):
    # The spread of draws is too large: as it is, its interval covers the truth in about 74 of 100 trials.
    monkeypatch.setattr(gaps, "resampled_rates", partial(resampled_rates, draws=400))
    rng, truth = np.random.default_rng(3), np.linspace(10, 26, 9)
    covered = {"wer_gap": 0, "wer_spread": 0}
    known = {"wer_gap": truth[-1] - truth[0], "wer_spread": np.std(truth)}
    for trial in range(100):
        one = scores({f"a{place}": rate for place, rate in enumerate(truth)}, speakers=20, seeds=1)
        skill = np.repeat(rng.normal(0, 8, 180), 2)
        one = replace(one, errors={key: value + skill for key, value in one.errors.items()})
        rows, _ = Gaps(["s"], "a0").results("s", {"s": {"a": one}}, [], {**COMMON, "corpus": f"{trial}"})
        for metric, value in known.items():
            row = rows_of(rows, metric)["a"]
            covered[metric] += row["low"] <= value <= row["high"]
    assert min(covered.values()) >= 83, covered


def test_accents_of_few_speakers_are_left_out():
    one = scores(SEEN | NATIVE)
    few = [one.accents[i] != "russian" or one.speakers[i] <= "russian-03" for i in range(len(one.ids))]
    few = replace(
        one,
        **{name: [x for x, kept in zip(getattr(one, name), few) if kept] for name in ("ids", "speakers", "accents")},
        lengths={KIND: one.lengths[KIND][few]},
        errors={KIND: one.errors[KIND][:, few]},
    )
    rows, _ = Gaps(["s"], "us").results("s", {"s": {"a": few}}, [], COMMON)
    assert {tuple(row["left_out"]) for row in rows} == {("russian",)}
    assert rows_of(rows, "wer_gap")["a"]["value"] == 10.0
    assert Gaps(["s"], "us", min_speakers=4).results("s", {"s": {"a": few}}, [], COMMON)[0][0].get("left_out") is None
    assert Gaps(["s"], "us", min_speakers=9).results("s", {"s": {"a": few}}, [], COMMON) == ([], [])
    # A gap of two sets is not that of one of them.
    assert Gaps(["s", "t"], "us").results("s", {"s": {"a": one}}, [], COMMON) == ([], [])


def counts(folder: Path, rates: dict[str, float]) -> None:
    one = scores(rates)
    errors, ids = one.errors[KIND][0].tolist(), [key for _, key in one.ids]
    values = {"words": [100] * len(ids), "word_errors": errors, "characters": [1] * len(ids)}
    values["character_errors"] = [0] * len(ids)
    folder.mkdir(parents=True)
    write_json(
        folder / "counts.json",
        {"normalisers": one.normalisers, "ids": ids, "speakers": one.speakers, "accents": one.accents, "missing": []}
        | {"raw": values, "normalised": values},
    )


def test_the_source_reads_scores_and_says_which_gap_is_absent(tmp_path: Path):
    for system, less in (("plain", 0), ("gradcam", 1)):
        for name, rates in (("seen", SEEN), ("native", NATIVE), ("standard", NATIVE)):
            counts(tmp_path / system / "seed1" / name, {key: value - less for key, value in rates.items()})
    entry = {"kind": "accent-gaps", "scores": "$exp/{system}/seed{seed}/{set}", "pairs": [["{system}", "plain"]]}
    wanted = {"seen": {"sets": ["seen"], "native": "native"}, "unseen": {"sets": ["unseen"], "native": "native"}}
    run = Run(COMMON, {"exp": f"{tmp_path}"}, gaps=wanted)
    called_by_kind(SOURCES, entry, "report.yaml: scores").collect(run)
    assert {name: row["value"] for name, row in rows_of(run.rows, "wer_gap").items()} == {"plain": 15, "gradcam": 15}
    assert [(c["metric"], c["difference"]) for c in run.comparisons] == [
        ("wer_mean", -1), ("wer_spread", 0), ("wer_gap", 0)
    ]  # fmt: skip
    assert run.absent == ["the gap between accents of unseen"]
    # Without names, each set with several accents has its spread.
    run = Run(COMMON, {"exp": f"{tmp_path}"})
    called_by_kind(SOURCES, entry, "report.yaml: scores").collect(run)
    assert {(row["set"], row["metric"]) for row in run.rows} == {("seen", "wer_mean"), ("seen", "wer_spread")}
    assert run.absent == []
    run = Run(COMMON, {"exp": f"{tmp_path}"}, gaps={"x": {"nativ": "y"}})
    with pytest.raises(InputError, match="gaps, x has the unknown key 'nativ'"):
        called_by_kind(SOURCES, entry, "report.yaml: scores").collect(run)
