"""The report of ImportantAug: Tables 1 to 5, what is said of them, and pictures, from scores with planted answers."""

import re
from pathlib import Path

import pytest
import yaml
from collect_results import collect_results
from command_helpers import SNRS, everything, generators, scored, spread
from page_helpers import charts_of
from report_results import report_results

from salience.errors import InputError
from salience.report.findings import verdict
from salience.report.sections import Section, report
from salience.scoring.results import read_results
from salience.scoring.specification import read_specification

TOP = Path(__file__).resolve().parents[2]
WANTED = TOP / "egs/gsc_v2/conf/report.yaml"
PAPER = WANTED.with_name("paper.yaml")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def collect(only: str = "", synthetic: bool = False, **values: str) -> dict:
    """Collect what the recipe collects; values of None are not given."""
    known = {"data": ".", "models": "models", "snr": " ".join(map(str, SNRS))}
    known |= {"in_domain": "test_musan", "out_of_domain": "test_qut", "chosen": "10", **values}
    given = {name: value for name, value in known.items() if value is not None}
    collect_results(WANTED, Path("results.json"), "Speech Commands", synthetic, "./run.sh", given, only, "paper")
    return read_results(Path("results.json"))


def shown(results: dict) -> Section:
    (section,) = report(results, read_specification(WANTED)).sections
    return section


def statement(results: dict) -> list[str]:
    """What is said of a report's results, above and below the table."""
    made = report(results, read_specification(WANTED))
    return made.finding + made.further


def value(results: dict, system: str, name: str, snr: object = None) -> float:
    (row,) = [
        row
        for row in results["rows"]
        if (row["system"], row["set"], row["snr"], row.get("sweep")) == (system, name, snr, None)
    ]
    return row["value"]


def test_rows_and_comparisons_hold_what_was_planted():
    everything(Path())
    results = collect()
    # Half a percent an utterance; seeds 1, 2, 3 make 1, 2, 3 more errors.
    expected = {
        "baseline": 26,
        "continue-clean": 3.5,
        "conventional": 16,
        "null": 6,
        "importantaug": 6,
        "published": 22,
    }
    for system, rate in expected.items():
        assert value(results, system, "test") == rate
    assert value(results, "importantaug", "test_musan", 0) == 36 and value(results, "importantaug", "test_qut", 0) == 46
    assert value(results, "importantaug", "test_musan", "mean") == 36
    assert value(results, "published", "test_qut", "mean") == 44
    swept = {
        (row["system"], row["sweep_value"], row["set"]): row["value"] for row in results["rows"] if row.get("sweep")
    }
    assert swept == {
        ("baseline", None, "dev"): 26,
        ("continue-clean", None, "dev"): 3.5,
        ("conventional-20", 20, "dev"): 26,
        ("conventional-10", 10, "dev"): 16,
        ("conventional--10", -10, "dev"): 31,
        **{("null", 0, name): 6 for name in ("dev", "test")},
        **{(f"binarised-{q}", q, name): (12 + q) / 2 for q in (70, 10, 1) for name in ("dev", "test")},
    }
    found = {(c["system"], c["against"], c["set"], c.get("snr")): c for c in results["comparisons"]}
    rivals = ("null", "conventional", "baseline", "continue-clean", "specaugment", "other-map")
    pairs = [*(("importantaug", rival) for rival in rivals), ("null", "conventional")]
    places = [("test", None), *((name, snr) for name in ("test_musan", "test_qut") for snr in (*SNRS, "mean"))]
    assert set(found) == {(*pair, *place) for pair in pairs for place in places}
    for system in ("importantaug", "null"):
        item = found[system, "conventional", "test_qut", "mean"]
        assert (item["difference"], item["differences"], item["resampled"]) == (-10, [-10, -10, -10], "speaker")
    (run,) = results["runs"]
    assert (
        run["chosen"] == 10
        and run["seeds"] == [1, 2, 3]
        and run["absent"] == ["faithfulness of masks", "faithfulness of saliency maps"]
    )  # test_in_noise.py has it
    assert run["sizes"]["official"]["train"] == 84843
    assert (
        run["training_snr"].items()
        >= {
            **dict.fromkeys(("baseline", "continue-clean", "specaugment")),
            **dict.fromkeys(("importantaug", "null", "other-map"), -12.5),
            "conventional": 10,
        }.items()
    )
    (published,) = [
        row for row in results["rows"] if (row["system"], row["set"], row["snr"]) == ("published", "test", None)
    ]
    assert published["seeds"] == [] and published["paper"] is None


def test_the_finding_says_what_was_planted():
    everything(Path())
    better = "better than training with noise everywhere by 10.0 points (95 % interval 10.0 to 10.0, in 3 of 3 seeds)"
    worse = "worse than a second training without noise by 2.5 points (95 % interval 1.0 to 4.3, in 3 of 3 seeds)"
    assert statement(collect())[0] == f"On clean speech, ImportantAug (error 6.0 %) is {better} and {worse}."
    assert [said.partition(" is ")[0] for said in statement(collect())[1:]] == [
        "In in-domain noise, ImportantAug (error 36.0 %)",
        "In out-of-domain noise, ImportantAug (error 46.0 %)",
    ]


def comparison(difference: float, low: float, high: float, differences: list[float], against: str = "null") -> dict:
    return {
        "system": "importantaug",
        "against": against,
        "set": "test",
        "difference": difference,
        "low": low,
        "high": high,
        "p": 0.01,
        "differences": differences,
    }


@pytest.mark.parametrize(
    "low, high, differences, expected",
    [
        (-2, -0.1, [-1, -1.2], "better"),
        (-2, -0.1, [], "better"),
        (-2, -0.1, [-2.3, 0.1], "better on average"),
        (-2, 0.0, [-1, -1.2], "open"),
        (-2, 0.3, [-1, -1.2], "open"),
        (0.1, 2, [1, 1.2], "worse"),
        (0.1, 2, [0, 2.2], "worse on average"),
        (0.1, 2, [3, -0.1, 0.2], "worse on average"),
        (-0.1, 2, [1, 2.2], "open"),
    ],
)
def test_better_is_what_interval_and_all_seeds_say(low: float, high: float, differences: list[float], expected: str):
    assert verdict(comparison((low + high) / 2, low, high, differences)) == expected


def test_the_page_has_the_papers_tables_with_its_figures_beside_ours():
    everything(Path())
    generators(Path())
    collect(generators="generator", generator_seeds="1 2", published="published")
    report_results(WANTED, Path("results.json"), Path("RESULTS.md"), Path("report.html"))
    page = Path("RESULTS_details.md").read_text()
    number = r"\d+\.\d\d"
    spans, span = rf"\({number} to {number}\)", r"\([\d.]+ to [\d.]+\)"
    for shown in (
        r"^\| training utterances \| 1,000 \| – \| 84,843 \| – \|$",
        r"^\| seconds of noise for training \| 40 \| 6 \| 702 \| 702 \|$",
        r"^\| seconds of noise for the in-domain test \| 10 \| – \| 175 \| – \|$",
        rf"^\| baseline \| ∞ \| 26\.00 {spans} \| 7\.74 \| 1, 2, 3 \|$",
        rf"^\| continue-clean \| ∞ \| 3\.50 {spans} \| – \|",
        rf"^\| conventional-10 \| 10 \(chosen\) \| 16\.00 {spans} \| 6\.11 \|",
        rf"^\| conventional--10 \| -10 \| 31\.00 {spans} \| 6\.16 \|",
        rf"^\| importantaug \| -12\.5 \| 6\.00 {spans} \| 5\.00 \| 1, 2, 3 \|$",
        rf"^\| conventional \| 10 \| 16\.00 {spans} \| 6\.52 \|",
        rf"^\| published \| – \| 22\.00 {spans} \| – \| – \|$",
        r"^\| system \| -12\.5 dB \| 0 dB \| 20 dB \| mean \| seeds \|$",
        (
            rf"^\| importantaug \| 51\.0 {span} \| 36\.0 {span} \| 21\.0 {span} \| 36\.0 {span} \| 1, 2, 3 \|\n"
            r"\| importantaug, paper \| 43\.5 \| 13\.3 \| 5\.7 \| – "
        ),
        rf"^\| null \| 61\.0 {span} .*\n\| null, paper \| 72\.3 \| 24\.8 \| 6\.8 \|",
        rf"^\| 1 \| 6\.50 {spans} \| 5\.12 \| 6\.50 {spans} \| 4\.94 \|",
        r"^\| importantaug \| conventional \| -10\.00 \(-10\.00 to -10\.00\) \| -10\.00, -10\.00, -10\.00 \| 3 of 3 \|",
        r"^\| of this run \| 2\.750 \| 80\.00 \| 7\.50 \| 1, 2 \|\n\| published \| 2\.000 \| 75\.00 \| 3\.00 \| – \|$",
        rf"^\| 0 \| 6\.00 {spans} \| 6\.03 \| 6\.00 {spans} \| 6\.12 \|",
        r"^\| baseline \| -20\.00 \(-20\.00 to -20\.00, 3 of 3\) \|",
    ):
        assert re.search(shown, page, re.M), shown
    assert [int(n) for n in re.findall(r"^### Table (\d)", page, re.M)] == [1, 2, 3, 4, 5]
    assert (
        re.findall(r"Not in this run: (.*)\.", page) == ["faithfulness of masks, faithfulness of saliency maps"]
        and "missing hypotheses" not in page
    )
    assert charts_of(Path("report.html")) == [
        "test_musan, with 95 % intervals",
        "test_qut, with 95 % intervals",
        "Table 1: conventional noise of each SNR",
        "Table 5: binarised masks (0 is null)",
    ]
    assert "On clean speech, ImportantAug (error 6.0 %) is better than" in Path("report.html").read_text()


def test_every_figure_of_the_paper_stands_in_its_table():
    """The YAML against the paper's own claims and against the totals of its rows."""
    known = yaml.safe_load(PAPER.read_text())
    test = {system: sets["test"]["error"] for system, sets in known["figures"].items() if "test" in sets}
    dev = {system: sets["dev"]["error"] for system, sets in known["figures"].items() if "dev" in sets}
    assert round(100 * (1 - test["importantaug"] / test["baseline"]), 1) == 25.4
    assert round(100 * (1 - test["importantaug"] / test["conventional"]), 1) == 23.3
    assert round(100 * (1 - test["binarised-10"] / test["null"]), 1) == 11.3
    swept = {system: error for system, error in dev.items() if system.startswith("conventional-")}
    assert len(swept) == 11 and min(swept, key=swept.get) == "conventional-15"
    assert dev["conventional"] == swept["conventional-15"]
    for name in ("in_domain", "out_of_domain"):
        assert set(known[name]) == {"baseline", "conventional", "importantaug", "null"}
        for _system, rates in known[name].items():
            assert list(rates) == [-12.5, -10, 0, 10, 20, 30, 40]
            assert sorted(rates.values(), reverse=True) == list(rates.values())
            assert all(rates[snr] >= known[name]["importantaug"][snr] for snr in rates)


def test_the_papers_mean_is_shown_where_all_its_snrs_are():
    for system in ("null", "importantaug"):
        for snr in ("-12.5", "-10", "0", "10", "20", "30", "40"):
            scored(Path(f"models/{system}/seed1/score_noisy/{snr}/test_musan"), spread(10))
        for name in ("dev", "test"):
            scored(Path(f"models/{system}/seed1/score/{name}"), spread(10))
    rows = collect(chosen=None, snr="-12.5 -10 0 10 20 30 40")["rows"]
    papers = {row["system"]: row["paper"] for row in rows if row["snr"] == "mean"}
    assert papers == {"null": 17.83, "importantaug": 16.46}  # 124.8 / 7, 115.2 / 7
    assert [row["snr"] for row in rows if row["system"] == "null" and row["set"] == "test_musan"] == [
        -12.5, -10, 0, 10, 20, 30, 40, "mean",
    ]  # fmt: skip


def test_what_a_run_did_not_make_is_left_out_and_said():
    for system, errors in (("baseline", 20), ("importantaug", 10)):
        for name in ("dev", "test"):
            scored(Path(f"models/{system}/seed1/score/{name}"), spread(errors))
    results = collect()
    assert results["runs"][0]["absent"] == [
        "the system continue-clean",
        "the system specaugment",
        "the system conventional",
        "the system null",
        "the system other-map",
        "the sweep of conventional noise",
        "the sweep of binarised masks",
        "in-domain noise",
        "out-of-domain noise",
        "faithfulness of masks",
        "faithfulness of saliency maps",
    ]
    section = shown(results)
    assert [table.title for table in section.tables][:1] == ["Table 2: error in % on the clean test set"]
    assert section.remarks == [f"Not in this run: {', '.join(results['runs'][0]['absent'])}."]
    assert statement(results) == []


def test_one_training_that_chose_the_ratio_is_said():
    everything(Path())
    for seed in (2, 3):
        for name in ("dev", "test"):
            Path(f"models/conventional-20/seed{seed}/score/{name}/counts.json").unlink()
    (table,) = [table for table in shown(collect()).tables if table.title.startswith("Table 1")]
    assert table.note.endswith(
        "With seed 1, 10 dB was chosen for the system conventional of all seeds; another seed may choose another SNR."
    )


def test_without_the_papers_file_there_are_no_figures_of_it():
    everything(Path(), seeds=(1,))
    results = collect(synthetic=True)
    assert all(row["paper"] is None for row in results["rows"])
    shown_tables = shown(results).tables
    cells = [cell for table in shown_tables[1:] for row in [table.headers, *table.rows] for cell in row]
    assert len(cells) > 100 and not any("paper" in cell for cell in cells)
    assert not any("GSC-" in table.note for table in shown_tables)


def test_a_sweep_is_compared_over_the_seeds_that_all_of_it_has():
    everything(Path())
    for seed in (2, 3):
        for name in ("dev", "test"):
            Path(f"models/conventional-20/seed{seed}/score/{name}/counts.json").unlink()
    results = collect()
    rows = {row["system"]: row for row in results["rows"] if row.get("sweep") == "conventional"}
    assert {tuple(row["seeds"]) for row in rows.values()} == {(1,)}
    assert rows["baseline"]["value"] == 25.5 and value(results, "baseline", "dev") == 26
    # The chosen one is as the other systems outside the sweep.
    assert value(results, "conventional", "test") == 16


def test_what_earlier_runs_left_is_not_in_the_tables():
    everything(Path())
    systems = ("baseline", "conventional-10", "null", "importantaug")
    for name in ("dev", "test"):
        scored(Path(f"models/null/seed4/score/{name}"), spread(99))
    only = [f"{system}/{seed}" for system in systems for seed in (1, 2)]
    only += ["conventional-20/1", "conventional--10/1", "binarised-70/2"]
    results = collect(only=" ".join(only), snr="0 20")
    assert {row["system"] for row in results["rows"]} == {
        *systems,
        "conventional",
        "conventional-20",
        "conventional--10",
        "binarised-70",
    }
    seeds = {(row["system"], row.get("sweep")): row["seeds"] for row in results["rows"] if row["metric"] == "error"}
    assert {key: value for key, value in seeds.items() if key[1] is None} == {
        (system, None): [1, 2] for system in ("baseline", "conventional", "null", "importantaug")
    }
    assert {value[0] for key, value in seeds.items() if key[1] == "conventional"} == {1}
    assert seeds["null", "binarised"] == seeds["binarised-70", "binarised"] == [2]
    assert {row["snr"] for row in results["rows"]} == {None, 0, 20, "mean"}
    assert results["runs"][0]["absent"] == [
        "the system continue-clean",
        "the system specaugment",
        "the system other-map",
        "faithfulness of masks",
        "faithfulness of saliency maps",
    ]
    with pytest.raises(InputError, match="--only has 'null'; give words such as baseline/1"):
        collect(only="null")


def test_no_scores_and_wrong_files_are_one_sentence():
    with pytest.raises(InputError, match="no scores match models/"):
        collect()
    everything(Path(), seeds=(1,))
    scored(Path("models/binarised-few/seed1/score/dev"), spread(1))
    with pytest.raises(InputError, match="scores of binarised-few, whose name does not end in a number"):
        collect(chosen=None)
