"""Scores by several normalisers, and a collection's rows and tables."""

import json
import subprocess

import pytest
from accent_helpers import run_program
from collect_results import collect_results
from corpora_helpers import TOP

from salience.data.tables import write_table
from salience.files import read_yaml
from salience.report.sections import Section, report
from salience.report.tables import plain_text
from salience.scoring.collection_rows import collection_rows
from salience.scoring.rates import rate_rows, read_scores
from salience.scoring.results import provenance, read_results
from salience.scoring.specification import read_specification

PAPER = TOP / "egs/cv_fa_pdid/conf/paper.yaml"
REPORT = PAPER.with_name("report.yaml")


def sections_of(rows: list) -> list[Section]:
    return report({"rows": rows, "comparisons": [], "runs": []}, read_specification(REPORT)).sections


def score(monkeypatch, folder, normaliser):
    write_table(folder / "ref", {"s-1": "می\u200cروم خانه", "s-2": "كتاب"})
    write_table(folder / "hyp", {"s-1": "می روم خانه", "s-2": "کتاب"})
    write_table(folder / "utt2spk", {"s-1": "s", "s-2": "s"})
    out = folder / "exp/plain/seed1/score/test"
    run_program(
        monkeypatch,
        "score_words",
        ref=folder / "ref",
        hyp=folder / "hyp",
        utt2spk=folder / "utt2spk",
        out=out,
        normaliser=normaliser,
    )
    return out


def test_each_normaliser_has_its_score(tmp_path, monkeypatch):
    out = score(monkeypatch, tmp_path, "persian-joined persian")
    counts = json.loads((out / "counts.json").read_text())
    assert list(counts["normalisers"].items()) == [
        ("raw", "raw 1"),
        ("persian-joined", "persian-joined 1"),
        ("normalised", "persian 1"),
    ]
    # Raw: the joined word and the Arabic kaf.  Joined: a space where one word was said.  Parted: nothing.
    assert [counts[kind]["word_errors"] for kind in ("raw", "persian-joined", "normalised")] == [[2, 1], [2, 0], [0, 0]]
    assert [sum(counts[kind]["words"]) for kind in ("raw", "persian-joined", "normalised")] == [3, 3, 4]
    assert {p.name for p in out.glob("alignments_*")} == {
        "alignments_raw.txt",
        "alignments_persian-joined.txt",
        "alignments_normalised.txt",
    }
    assert (out / "wer").read_text().count("%WER") == 3

    common = provenance("c", True, "whisper", "./run.sh")
    rows = rate_rows("test", read_scores(f"{tmp_path}/exp/{{system}}/seed{{seed}}/score/{{set}}")["test"], common)
    assert [(row["normaliser"], row["value"]) for row in rows if row["metric"] == "wer"] == [
        ("raw 1", 100.0),
        ("persian-joined 1", 66.667),
        ("persian 1", 0.0),
    ]
    section = sections_of(rows)[0]
    assert section.main.title == "WER / CER in %" and "persian 1" in section.main.note
    assert [table.title for table in section.tables] == [
        f"95 % intervals, {name} 1" for name in ("raw", "persian-joined", "persian")
    ]


def test_one_normaliser_scores_as_before(tmp_path, monkeypatch):
    out = score(monkeypatch, tmp_path, "persian")
    assert list(json.loads((out / "counts.json").read_text())["normalisers"]) == ["raw", "normalised"]
    assert {p.name for p in out.glob("alignments_*")} == {"alignments_raw.txt", "alignments_normalised.txt"}


def test_a_normaliser_given_twice_counts_once(tmp_path, monkeypatch):
    score(monkeypatch, tmp_path, "raw")
    found = read_scores(f"{tmp_path}/exp/{{system}}/seed{{seed}}/score/{{set}}")["test"]["plain"]
    assert {kind for kind, _ in found.lengths} == {"raw"}


def test_an_unknown_normaliser_is_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="no normaliser named 'farsi'"):
        score(monkeypatch, tmp_path, "persian farsi")
    assert not (tmp_path / "exp").exists()


def test_the_paper_s_figures_are_those_of_its_tables():
    paper = read_yaml(PAPER, "")
    assert sum(one["samples"] for one in paper["collection"].values()) == 12613
    assert sum(one["hours"] for one in paper["collection"].values()) == pytest.approx(23.1)
    assert paper["figures"]["gradcam"]["accented"] == {"wer": 88.8, "cer": 40.6}
    assert set(read_yaml(PAPER.with_name("paper_medium.yaml"), "")["figures"]) == {"zero-shot", "plain", "gradcam"}


def run_with(folder, stages, *options):
    """What the recipe prints with other words in place of the stages that recipes share."""
    recipe = folder / "egs/cv_fa_pdid"
    if not recipe.exists():
        recipe.mkdir(parents=True)
        (folder / "local").mkdir()
        for shared in ("path.sh", "requirements.txt", "conf", "utils", ".venv"):
            (folder / shared).symlink_to(TOP / shared)
        for name in ("options.sh", "accent_options.sh"):
            (folder / "local" / name).symlink_to(TOP / "local" / name)
        for own in ("run.sh", "path.sh", "conf", "local"):
            (recipe / own).symlink_to(TOP / "egs/cv_fa_pdid" / own)
    (folder / "local/accent_stages.sh").write_text(stages)
    done = subprocess.run(["bash", "run.sh", *options], cwd=recipe, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("options", "finetune", "paper", "name"),
    [
        ([], "conf/finetune_base.yaml", "conf/paper.yaml", "base"),
        (["--model", "medium"], "conf/finetune_medium.yaml", "conf/paper_medium.yaml", "medium"),
        (["--model", "/mo dels/medium.pt"], "conf/finetune_medium.yaml", "conf/paper_medium.yaml", "medium"),
        (["--model", "./base.pt", "--conf", "mine"], "mine/finetune_base.yaml", "conf/paper.yaml", "base"),
        (["--model", "small"], "conf/finetune_base.yaml", "/dev/null", "small"),
        (["--model", "small", "--paper", "own.yaml", "--finetune-config", "own.yaml"], "own.yaml", "own.yaml", "small"),
        (["--mini", "true"], "", "/dev/null", "mini"),
    ],
)
def test_a_model_has_its_own_settings_and_figures(tmp_path, options, finetune, paper, name):
    """By its name or its file; a size that the paper has not has no figures beside it."""
    output = run_with(tmp_path, 'printf "%s|" "$finetune_config" "$paper" "$corpora"; exit 0\n', *options)
    assert output == f"{finetune}|{paper}|Common Voice fa and PDID, Whisper {name}|"


def test_a_collection_by_itself_goes_on_with_its_report(tmp_path):
    stages = (
        "check_options() { :; }; decimal= whole=; "
        'data=. exp=. downloads=. asr_train=asr_train; present() { :; }; begin() { [ "$stage" -gt $1 ] || echo $1;'
        " false; }\n"
    )
    assert run_with(tmp_path, stages, "--stage", "1").split() == list("123456789")
    (tmp_path / "egs/cv_fa_pdid/pdid").mkdir()
    for name in ("preparation.txt", "pdid/collection.json"):
        (tmp_path / "egs/cv_fa_pdid" / name).touch()
    assert run_with(tmp_path, stages, "--stage", "1").split() == list("19")


BOUNDARY = {"precision": 90.0, "recall": 80.0, "f1": 84.7, "chance_precision": 21.5}
TOLD = {
    "synthetic": True, "recordings": 3, "recording_hours": 2.5, "clips": 30, "hours": 1.25,
    "accents": [
        {"accent": "Lori", "samples": 20, "hours": 0.75, "recordings": 2, "speakers": 3},
        {"accent": "Tajiki", "samples": 10, "hours": 0.5, "recordings": 1, "speakers": 1},
    ],
    "rejected": [
        {"reason": "music", "count": 4, "seconds": 31.5},
        {"reason": "undecodable", "count": 1, "seconds": 0.0},
    ],
    "by_recording": [
        {"recording": f"radio{number}", "seconds": 3000.0, "kept": 1500.0, "rejected": 30.0 - number}
        for number in range(3)
    ],
    "steps": {"loudness": "pyloudnorm 0.1"},
    "reference": {
        "recordings": 3, "utterances": 44, "tolerance": {"0.5": BOUNDARY}, "speech_tolerance": {"0.5": BOUNDARY},
        "onset_error": 0.043,
        "coverage_clips": 71.25, "coverage_speech": 95.0, "speech_precision": 93.0, "speaker_accuracy": 88.0,
        "speaker_count": 66.67, "music_precision": None, "music_recall": None,
    },
}  # fmt: skip


@pytest.fixture
def collected(tmp_path):
    """results.json of another corpus's row and of the collection, as the program writes it."""
    (tmp_path / "collection.json").write_text(json.dumps(TOLD))
    (tmp_path / "results.json").write_text(
        json.dumps({"rows": [{"corpus": "other", "synthetic": True}], "comparisons": [], "runs": []})
    )
    values = {"collection": str(tmp_path / "collection.json")}
    for _ in range(2):
        collect_results(REPORT, tmp_path / "results.json", "PDID collection", False, "./run.sh", values, paper=PAPER)
    return read_results(tmp_path / "results.json")


def test_the_collection_joins_the_results(collected):
    rows = [row for row in collected["rows"] if row["corpus"] == "PDID collection"]
    assert len(rows) == len(collected["rows"]) - 1 and len(collected["runs"]) == 1
    assert all(row["synthetic"] for row in rows)
    sizes = {
        (row["accent"], row["metric"]): (row["value"], row["paper"])
        for row in rows
        if row["metric"] in ("samples", "hours")
    }
    assert sizes["Lori", "samples"] == (20, 2220) and sizes["Tajiki", "hours"] == (0.5, None)
    assert sizes["Isfahani", "samples"] == (0, 996) and sizes[None, "samples"] == (30, None)


def test_the_collection_s_tables(collected):
    found = {**collected, "rows": collected["rows"][1:]}
    (section,) = report(found, read_specification(REPORT)).sections
    size, boundaries, shares, rejected, recordings = section.tables
    assert ["Lori", "20", "2,220", "0.75", "4.0", "2", "3"] in size.rows and [
        "Tajiki",
        "10",
        "–",
        "0.50",
        "–",
        "1",
        "1",
    ] in size.rows
    assert size.rows[-1] == ["all", "30", "–", "1.25", "–", "3", "–"]
    assert boundaries.rows == [
        ["clips", "0.5", "90.0", "80.0", "84.7", "21.5"],
        ["speech", "0.5", "90.0", "80.0", "84.7", "21.5"],
    ]
    assert ["time of the utterances that is in clips", "71.2"] in shares.rows and shares.rows[-1][1] == "–"
    assert rejected.rows == [["music", "4", "31.5"], ["undecodable", "1", "–"]]
    assert "nearest start of speech it is 0.04 s (median)" in boundaries.note
    assert recordings.rows[0] == ["radio0", "3,000.0", "1,500.0", "30.0"] and len(recordings.rows) == 3
    assert dict(section.facts)["loudness"] == "pyloudnorm 0.1"
    assert all(plain_text(table) for table in section.tables)


def test_of_many_recordings_those_are_shown_that_lose_most():
    many = [{"recording": f"r{n}", "seconds": 9.0, "kept": 1.0, "rejected": 99.0 - n} for n in range(90)]
    rows = collection_rows({**TOLD, "recordings": 90, "by_recording": many}, provenance("c", False, None, "./run.sh"))
    table = sections_of(rows)[0].tables[-1]
    assert [row[0] for row in table.rows] == [f"r{n}" for n in range(20)] and table.note.endswith(
        "The corpus has 90 recordings; those that lose most come first."
    )


def test_a_collection_without_reference_has_its_sizes_alone():
    common = provenance("c", False, None, "./run.sh")
    rows = collection_rows({**TOLD, "reference": None}, common)
    section = sections_of(rows)[0]
    assert section.main is None and section.tables[0].headers == [
        "accent",
        "samples",
        "hours",
        "recordings",
        "speakers",
    ]
    assert [line[0] for line in section.tables[0].rows] == ["Lori", "Tajiki", "all"]
