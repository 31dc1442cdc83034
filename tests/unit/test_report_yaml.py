"""report.yaml: what it can say, and sentences about what is wrong in it."""

import re
from pathlib import Path

import pytest
from report_results import report_results

from salience.errors import InputError
from salience.files import write_json
from salience.report.frames import Part
from salience.report.tables import tables
from salience.scoring.results import new_row
from salience.scoring.sources import SOURCES, Run
from salience.scoring.specification import called_by_kind, read_specification, select

TOP = Path(__file__).resolve().parents[2]
REPORTS = sorted(TOP.glob("egs/*/conf/report.yaml"))
COMMON = {"corpus": "toy", "synthetic": False, "recogniser": "mini", "command": "c", "commit": "a", "date": "d"}


def part(*rows: dict, **run: object) -> Part:
    return Part([new_row(COMMON, **row) for row in rows], [], run, "wer")


def table_of(options: dict, *rows: dict, **run: object) -> list[list[str]]:
    (table,) = tables(options, part(*rows, **run), "report.yaml: tables")
    return [table.headers, *table.rows]


ROWS = [
    {"system": system, "set": name, "metric": metric, "value": value, "paper": 9.0 if system == "b" else None}
    for system, name, metric, value in (
        ("a", "dev", "wer", 1.25), ("a", "dev", "cer", 0.5), ("b", "dev", "wer", 2.0), ("b", "test", "wer", 1234.5),
    )
]  # fmt: skip


def test_a_table_is_a_pivot_of_rows():
    options = {
        "title": "t",
        "by": "system",
        "columns": [
            {"title": "name", "show": "system", "names": {"b": "B"}},
            {
                "each": "set",
                "columns": [
                    {"title": "{set}", "join": ["metric", ["wer", "cer"]]},
                    {"title": "{set}, paper", "show": "paper", "where": {"metric": "wer"}},
                ],
            },
        ],
    }
    assert table_of(options, *ROWS) == [
        ["name", "dev", "dev, paper", "test", "test, paper"],
        ["a", "1.2 / 0.5", "–", "–", "–"],
        ["B", "2.0 / –", "9.0", "1,234.5 / –", "9.0"],
    ]
    # Nothing of the paper's, no column.
    assert table_of(options, *ROWS[:2])[0] == ["name", "dev"]
    assert tables(options, part(), "x") == []


def test_lines_are_sorted_marked_and_looked_up():
    rows = [{"system": f"s{value}", "metric": "wer", "value": value, "weight": value} for value in (1, 5, 3)]
    options = {
        "title": "t",
        "by": "weight",
        "order": "descending",
        "digits": 2,
        "columns": [
            {"title": "w", "show": "weight", "mark": "chosen"},
            {"title": "%"},
            {"title": "x", "show": "run.x"},
        ],
    }
    assert table_of(options, *rows, chosen=3, x={5: "five"})[1:] == [
        ["5", "5.00", "five"],
        ["3 (chosen)", "3.00", "–"],
        ["1", "1.00", "–"],
    ]


def test_a_note_is_shown_where_its_row_is():
    notes = [
        "Always.",
        {"where": {"system": "b", "metric": "wer"}, "text": "B has {value:.2f} on {set}."},
        {"where": {"system": "c"}, "text": "C is there."},
        {"unless": {"system": "c"}, "text": "C is not."},
        {"text": "Chosen: {run[chosen]}."},
        {"where": {"metric": "wer"}, "each": "{system} {value:.0f}", "text": "All: {each}; {lines} lines."},
    ]
    options = {"title": "t", "by": "system", "columns": ["system"], "notes": notes}
    (table,) = tables(options, part(*ROWS), "x")
    assert table.note == "Always. B has 2.00 on dev. C is not. All: a 1; b 2; b 1234; 2 lines."


def test_rows_are_selected_by_values_lists_null_and_any():
    rows = [{"a": 1}, {"a": 2, "b": None}, {"a": None, "b": 0}]
    assert select(rows, {"a": [1, 2]}) == rows[:2] and select(rows, {"b": None}) == rows[:2]
    assert select(rows, {"b": "any"}) == rows[2:] and select(rows, {"a": [1, None]}) == [rows[0], rows[2]]


def test_what_is_included_gives_defaults(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("title: Base\nmetric: cer\nshared: {one: {title: 1}, two: {title: 2}}\n")
    (tmp_path / "report.yaml").write_text(
        "include: base.yaml\ntitle: Own\nshared: {two: {title: own}}\ndetails: [two, one]\nmain: one\n"
    )
    found = read_specification(tmp_path / "report.yaml")
    assert (found.title, found.metric, found.details) == ("Own", "cer", ({"title": "own"}, {"title": 1}))
    assert found.main == {"title": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel: x\n", "report.yaml has the unknown key 'titel'; it may have: path, title, "),
        ("[1]\n", "report.yaml holds no names with values"),
        ("details: [rates]\n", "details has 'rates', which is not in shared"),
        ("details: [{titel: x, by: system, columns: [system]}]\n", "report.yaml: details has the unknown key 'titel'"),
        ("details: [{title: x, columns: [system]}]\n", "report.yaml: details lacks the key 'by'"),
        (
            "details: [{title: x, by: system, columns: [{shows: value}]}]\n",
            "details, columns has the unknown key 'shows'",
        ),
        ("details: [{title: x, by: system, columns: [{show: valu}]}]\n", "'valu' is no field of the rows and none of"),
        ("details: [{title: x, by: system, columns: [system], source: row}]\n", "no source of a table's rows 'row'"),
        ("details: [{title: x, by: set, columns: [set], notes: [{txt: x}]}]\n", "notes has the unknown key 'txt'"),
        ("main: rates\n", "main has 'rates', which is not in shared"),
        ("finding: [{sytem: x}]\n", "report.yaml: finding has the unknown key 'sytem'"),
        ("finding: [{rule: claims}]\n", "there is no rule for sentences 'claims'"),
        ("details: [1]\n", "details has the entry 1, which is no table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(tmp_path: Path, text: str, message: str):
    (tmp_path / "report.yaml").write_text(text)
    write_json(tmp_path / "results.json", {"rows": [new_row(COMMON, **ROWS[0])], "comparisons": [], "runs": []})
    with pytest.raises(InputError) as error:
        report_results(tmp_path / "report.yaml", tmp_path / "results.json", tmp_path / "RESULTS.md")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"scores": "x"}, "x: scores has an entry without the key 'kind'; it may be one of: "),
        ({"kind": "rates"}, "there is no kind of score 'rates'"),
        ({"kind": "error-rates"}, "x: scores, error-rates lacks the key 'scores'"),
        ({"kind": "error-rates", "scores": "a", "set": "b"}, "x: scores, error-rates has the unknown key 'set'"),
    ],
)
def test_a_wrong_source_is_one_sentence(entry: dict, message: str):
    with pytest.raises(InputError) as error:
        called_by_kind(SOURCES, entry, "x: scores")
    assert message in str(error.value)


def test_facts_are_those_whose_values_the_run_has():
    values = {"numbers": {"a": None, "b": "$b", "c": "$c", "d": "{e}", "f": -1.5}, "e": "$b", "g": "$c"}
    run = Run(dict(COMMON), {"b": "7"})
    for _ in range(2):  # The first time, the fact e is not known yet.
        SOURCES["facts"](values=values).collect(run)
    assert run.facts == {"numbers": {"a": None, "b": 7, "d": 7, "f": -1.5}, "e": 7}


def test_hours_and_machines_are_those_of_the_records(tmp_path: Path):
    for name, seconds, machine in (
        ("a/1", 1800, "8 x A"),
        ("a/2", 5400, "2 x B"),
        ("b/1", 9999, "1 x C"),
        ("a", 90, None),
    ):
        known = {"machine": machine} if machine else {}  # as records of earlier versions have none
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        write_json(tmp_path / name / "step.json", {"seconds": seconds, **known})
    run = Run(dict(COMMON), {"exp": f"{tmp_path}/{{fold}}", "fold": "a c"})
    for folders in (["$exp"], ["$other"], [f"{tmp_path}/none"]):
        SOURCES["steps"](folders=folders).collect(run)
    assert run.facts == {"hours": 2.02, "machine": "2 x B; 8 x A"}


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.parts[-3])
def test_every_recipe_s_report_is_valid(report: Path):
    wanted = read_specification(report)
    assert wanted.scores and wanted.main and wanted.finding and wanted.beside(wanted.intro).is_file()
    for entry in wanted.scores_of({}):
        called_by_kind(SOURCES, entry, str(report))


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.parts[-3])
def test_run_sh_gives_what_the_patterns_need(report: Path):
    """Each place `$name` has its `--values.name` in the recipe's run.sh or in what the accent recipes share."""
    wanted = read_specification(report)
    needed = set(re.findall(r"\$(\w+)", f"{wanted.scores} {wanted.figures} {wanted.utterances}"))
    own, shared = (
        set(re.findall(r"--values\.(\w+)", shell.read_text()))
        for shell in (report.parents[1] / "run.sh", TOP / "local/accent_stages.sh")
    )
    assert needed - {"collection"} <= own | shared and ("collection" in own) == (report.parts[-3] == "cv_fa_pdid")
