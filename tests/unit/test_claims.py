"""claim.yaml: whether what was claimed is shown, whichever way the comparisons come out."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from claim_helpers import COMMON, JUDGED, SETS, TEXT, compared, comparison
from collect_results import collect_results

from salience.errors import InputError
from salience.files import read_yaml, write_json
from salience.scoring.claims import Claim, attach_claim, holm, read_claim, read_claims
from salience.scoring.results import read_results


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    (tmp_path / "claim.yaml").write_text(TEXT)
    return read_claim(tmp_path / "claim.yaml")


def verdicts(claim: Claim, items: list[dict]) -> dict[str, bool | None]:
    return {row["statement"]: row["value"] for row in attach_claim(claim, items, JUDGED, COMMON)}


def test_all_holds_if_every_comparison_is_shown(claim: Claim):
    items = compared()
    rows = attach_claim(claim, items, JUDGED, COMMON)
    assert [row["value"] for row in rows] == [True, True, True]
    assert [row["by"] for row in rows] == [["gradcam"], ["gradcam", "random-mask"], ["gradcam"]]
    assert all(row["lacking"] == [] and row["n"] == 10 for row in rows)
    # The pair that training may have harmed is no part of the claim, nor of the correction.
    assert [item.get("harm") for item in items] == [None] * 10 + [True] * 2
    assert {item["p_adjusted"] for item in items[:10]} == {0.002} and "p_adjusted" not in items[10]
    assert items[0]["claim"] == ["the map matters"] and items[0]["shown"] is True


def test_the_map_does_not_matter_if_it_fails_once(claim: Claim):
    worse = {"difference": 0.4, "differences": [0.3, 0.4, 0.5]}
    found = verdicts(claim, compared(**{"gradcam other-mask unseen": worse}))
    assert found == {"the map matters": False, "masking matters": True, "it beats SpecAugment": True}


def test_one_seed_with_the_other_sign_is_not_shown(claim: Claim):
    items = compared(**{"gradcam specaugment seen": {"differences": [-1.6, -1.5, 0.1]}})
    assert verdicts(claim, items)["it beats SpecAugment"] is False
    # A seed without any difference does not have the sign either.
    items = compared(**{"gradcam specaugment seen": {"differences": [-1.6, -1.5, 0.0]}})
    assert verdicts(claim, items)["it beats SpecAugment"] is False


def test_a_significant_loss_is_not_shown(claim: Claim):
    lost = {"difference": 1.0, "differences": [0.9, 1.0, 1.1], "p": 0.0002}
    assert verdicts(claim, compared(**{"gradcam specaugment seen": lost}))["it beats SpecAugment"] is False


def test_the_correction_turns_a_small_p(claim: Claim):
    # The last of ten to be corrected stays as it is, 0.02; the last two, 0.03, become 0.06.
    one = compared(**{"gradcam specaugment seen": {"p": 0.02}})
    two = compared(**{"gradcam specaugment seen": {"p": 0.03}, "gradcam specaugment unseen": {"p": 0.03}})
    assert verdicts(claim, one)["it beats SpecAugment"] is True
    assert verdicts(claim, two)["it beats SpecAugment"] is False
    uncorrected = replace(claim, correction="none")
    assert verdicts(uncorrected, two)["it beats SpecAugment"] is True


def test_any_system_is_enough_where_any_is_asked_for_but_on_all_sets(claim: Claim):
    open_ = {"p": 0.6}
    found = attach_claim(claim, compared(**{"gradcam plain seen": open_}), JUDGED, COMMON)[1]
    assert (found["value"], found["by"]) == (True, ["random-mask"])
    # Each of the two beats plain on one set alone.
    both = compared(**{"gradcam plain seen": open_, "random-mask plain unseen": open_})
    assert verdicts(claim, both)["masking matters"] is False


def test_what_is_lacking_is_not_known_unless_the_rest_decides(claim: Claim):
    there = [item for item in compared() if (item["against"], item["set"]) != ("other-mask", "unseen")]
    rows = attach_claim(claim, there, JUDGED, COMMON)
    assert [row["value"] for row in rows] == [None, True, True]
    assert rows[0]["lacking"] == [["gradcam", "other-mask", "unseen"]]
    # What is there fails, so the statement does, whatever is lacking.
    failed = [item | ({"p": 0.5} if item["against"] == "random-mask" else {}) for item in there]
    assert verdicts(claim, failed)["the map matters"] is False
    # Lacking comparisons do not make the others easier: ten are corrected for.
    assert {item["p_adjusted"] for item in there[:2]} == {0.002}
    assert verdicts(claim, []) == {"the map matters": None, "masking matters": None, "it beats SpecAugment": None}
    # Without common seeds there is no sign of each seed.
    seeds = compared(**{"gradcam specaugment seen": {"differences": []}})
    assert verdicts(claim, seeds)["it beats SpecAugment"] is None


def test_it_is_told_when_the_claim_was_written(claim: Claim):
    def written() -> str:
        return attach_claim(claim, [], JUDGED, COMMON)[0]["written"]

    def git(*words: str, date: str = "") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        environment = {**os.environ, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", *who, *words], cwd=claim.path.parent, env=environment, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    assert written() == "unknown"
    git("init", "-q")
    git("commit", "-qm", "x", "--allow-empty")
    assert written() == "not committed"
    git("add", "claim.yaml")
    git("commit", "-qm", "x", date="2026-11-30T02:00:00")
    assert written() == f"2026-11-30, commit {git('rev-parse', '--short=10', 'HEAD')}"
    claim.path.write_text(TEXT + "alpha: 0.1")
    assert written() == "not committed"


def test_only_comparisons_by_the_judging_metric_on_clean_speech_count(claim: Claim):
    others = [item | other for item in compared() for other in ({"metric": "cer"}, {"normaliser": "raw"}, {"snr": 5})]
    assert set(verdicts(claim, others).values()) == {None}


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [  # multipletests(p, method="holm") of statsmodels 0.15.0
        ([0.0625], [0.0625]),
        ([0.0897, 0.0776, 0.0225], [0.1552, 0.1552, 0.0675]),
        (
            [0.0002, 0.04, 0.011, 0.011, 0.3, 0.0002, 0.012, 0.9, 0.049, 0.2],
            [0.002, 0.2, 0.088, 0.088, 0.6, 0.002, 0.088, 0.9, 0.2, 0.6],
        ),
    ],
)
def test_holm_is_that_of_statsmodels(p: list[float], adjusted: list[float]):
    assert holm(p) == pytest.approx(adjusted, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "has no list of statements"),
        ("statements: []", "has no list of statements"),
        ("statements: [{says: x, better: a, than: b}]", "statements lacks the key 'sets'"),
        ("statements: [{says: x, better: a, than: b, set: c, sets: c}]", "statements has the unknown key 'set'"),
        ("statements: [{says: x, better: {all: [a]}, than: b, sets: c}]", "better has {'all': ['a']} where a name"),
        ("statements: [{says: x, better: a, than: [], sets: c}]", "than has [] where a name"),
        (TEXT + "alpha: 5", "alpha is 5 and must be between 0 and 1"),
        (TEXT + "correction: holms", "correction is 'holms' and may be Holm or none"),
        (TEXT.replace("[plain, zero-shot]", "plain"), "harm has 'plain' where two systems are expected"),
        (TEXT + "also: [a, b]", "also has 'a' where two systems are expected"),
    ],
)
def test_what_is_wrong_in_a_claim_is_one_sentence(tmp_path: Path, text: str, message: str):
    (tmp_path / "claim.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        read_claim(tmp_path / "claim.yaml")
    assert message in str(error.value) and str(error.value).startswith(f"{tmp_path}/claim.yaml")


ERRORS = {"zero-shot": 1, "plain": 3, "random-mask": 2, "other-mask": 2, "gradcam": 1}
SECOND = "statements: [{says: the second map matters, better: second, than: random-mask, sets: [seen, unseen]}]"


def test_a_second_claim_is_judged_by_itself(claim: Claim, tmp_path: Path):
    (tmp_path / "second.yaml").write_text(SECOND)
    claims = read_claims([claim.path, tmp_path / "second.yaml"])
    p = {"p": 0.02}  # shown of 2 comparisons only if it is below 0.025, of more than 2 not
    items = [comparison("second", "random-mask", name, **p) for name in SETS] + compared()
    rows = [row for one in claims for row in attach_claim(one, items, JUDGED, COMMON)]
    assert [(row["file"], row["n"], row["value"]) for row in rows] == [
        *[("claim.yaml", 10, True)] * 3, ("second.yaml", 2, True)
    ]  # fmt: skip
    assert {(i["file"], i["family"]) for i in items if "claim" in i} == {("claim.yaml", 10), ("second.yaml", 2)}


def test_a_comparison_is_of_one_claim_only(claim: Claim, tmp_path: Path):
    second = tmp_path / "second.yaml"
    second.write_text(SECOND.replace("better: second", "better: gradcam"))
    with pytest.raises(InputError, match="second.yaml compares gradcam with random-mask on seen, as claim.yaml does"):
        read_claims([claim.path, second])


def collect_of(
    folder: Path, sets: tuple[str, ...] = SETS, systems: tuple[str, ...] = tuple(ERRORS)
) -> dict[str, list[dict]]:
    """Collect made-up scores on some sets for the claim in the folder."""
    (folder / "claim.yaml").write_text(TEXT + "also: [[other-mask, random-mask]]")
    (folder / "report.yaml").write_text(
        "claims: [claim.yaml]\nscores: [{kind: error-rates, scores: '$exp/{system}/seed{seed}/{set}'}]\n"
    )
    for system in systems:
        for name in sets:
            scores = folder / "exp" / system / "seed1" / name
            scores.mkdir(parents=True)
            ids = [f"s{number:02}" for number in range(20)]
            kind = {"words": [10] * 20, "word_errors": [ERRORS[system]] * 20}
            fields = {
                "ids": ids,
                "speakers": ids,
                "accents": None,
                "missing": [],
                "normalisers": {"raw": "r", "n": "n"},
            }
            write_json(scores / "counts.json", {**fields, "raw": kind, "n": kind})
    collect_results(
        folder / "report.yaml", folder / "results.json", "toy", False, "./run.sh", values={"exp": f"{folder}/exp"}
    )
    return read_results(folder / "results.json")


@pytest.mark.parametrize("chosen", [{"sets": ("dev",)}, {"systems": ("zero-shot",)}])
def test_a_run_on_other_sets_or_of_other_systems_says_nothing_of_the_claim(tmp_path: Path, chosen: dict):
    found = collect_of(tmp_path, **chosen)
    assert {row["metric"] for row in found["rows"]} == {"wer"}
    assert not any("claim" in item for item in found["comparisons"])


def test_collecting_compares_what_is_claimed(tmp_path: Path):
    found = collect_of(tmp_path)
    rows = [row for row in found["rows"] if row["metric"] == "claim"]
    assert [(row["statement"], row["value"]) for row in rows] == [
        ("the map matters", True), ("masking matters", True), ("it beats SpecAugment", None)
    ]  # fmt: skip
    assert all(row["normaliser"] == "n" for row in rows)
    (harm,) = [item for item in found["comparisons"] if item.get("harm") and item["set"] == "seen"]
    assert (harm["system"], harm["against"], harm["difference"]) == ("plain", "zero-shot", 20.0)
    assert [i["set"] for i in found["comparisons"] if i["system"] == "other-mask" and i["normaliser"] == "n"] == [*SETS]
    claimed = [item for item in found["comparisons"] if "claim" in item]
    assert {item["normaliser"] for item in claimed} == {"n"} and len(claimed) == 8


def test_the_claims_of_the_recipes_name_their_systems():
    paths = sorted(Path(__file__).resolve().parents[2].glob("egs/*/conf/claim*.yaml"))
    assert paths
    for path in paths:
        systems = read_yaml(path.parent / "systems.yaml", "")
        assert {name for pair in read_claim(path).pairs() for name in pair} <= set(systems), path
