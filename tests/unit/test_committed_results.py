"""The RESULTS.md of each recipe: rendered from results.json, short, of real speech, no number made up."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from salience.errors import InputError
from salience.files import read_yaml
from salience.report import render
from salience.report.readme import results_table, with_table
from salience.report.sections import report
from salience.scoring.results import read_results
from salience.scoring.specification import read_specification

TOP = Path(__file__).resolve().parents[2]
RECIPES = sorted(
    path.parents[1] for path in TOP.glob("egs/*/conf/report.yaml") if (path.parents[1] / "RESULTS.md").exists()
)
NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w-])")


def leaves(value: Any) -> Iterator[Any]:
    """All values in lists and mappings, and the keys of mappings."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from leaves(part)
    if not isinstance(value, (dict, list)):
        yield value


def known(results: dict, given: Any) -> tuple[set[str], list[str]]:
    """The numbers of results.json and of what else is given, as they may be rounded, and the texts that have digits."""
    numbers, texts = set(), set()
    for value in leaves([results, given]):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers |= {f"{abs(value):.{digits}f}" for digits in (1, 2, 3)} | {f"{abs(value):g}"}
        elif isinstance(value, str) and re.search(r"\d", value):
            (numbers if value.isdecimal() else texts).add(" ".join(value.split()))
    counts = [*leaves(results["runs"]), *(row.get("hertz") for row in results["rows"])]
    numbers |= {f"{value:.0f}" for value in counts if isinstance(value, (int, float))}
    texts.add(f"{len({row['speaker'] for row in results['rows'] if row.get('speaker')})} speakers")
    for item in results["comparisons"]:
        seeds = len(item["differences"])
        texts |= {f"{agreeing} of {seeds}" for agreeing in range(seeds + 1)}
    return numbers, sorted(texts, key=len, reverse=True)


def made_up(text: str, numbers: set[str], texts: list[str]) -> list[str]:
    """The numbers of a text that are in neither."""
    text = re.sub(r"\\([^\w\s])", r"\1", " ".join(text.split()))  # as it was before Markdown
    for name in texts:
        text = text.replace(name, " ")
    return re.findall(r"\d+ of \d+", text) + [
        found for found in NUMBER.findall(text) if found.lstrip("-").replace(",", "") not in numbers
    ]


def papers(recipe: Path) -> list[Any]:
    """The paper's figures, as far as a recipe has them in its settings."""
    return [read_yaml(path, "") for path in recipe.glob("conf/paper*.yaml")]


@pytest.fixture(params=RECIPES, ids=lambda path: path.name)
def recipe(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_results_are_what_results_json_is_rendered_to(recipe: Path):
    wanted = read_specification(recipe / "conf/report.yaml")
    found = report(read_results(recipe / "results.json"), wanted)
    assert (recipe / "RESULTS.md").read_text(encoding="utf-8") == render.markdown(found)
    intro = wanted.beside(wanted.intro).read_text(encoding="utf-8")
    assert (recipe / "RESULTS_details.md").read_text(encoding="utf-8") == render.details(found, intro)


def test_results_are_one_screen_of_real_speech(recipe: Path):
    wanted = read_specification(recipe / "conf/report.yaml")
    lines = (recipe / "RESULTS.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60 and len(wanted.departures) <= 5
    assert lines[0].startswith("# ") and re.search(r"\b20\d\d\)", lines[0])  # the paper
    assert 1 <= len(re.findall(r"\.(?= [A-Z]|$)", lines[2])) <= 3 and len(lines[2].split()) <= 110
    assert not any(row["synthetic"] for row in read_results(recipe / "results.json")["rows"])
    assert not any("SYNTHETIC" in path.read_text(encoding="utf-8") for path in recipe.glob("RESULTS*.md"))


def test_every_number_is_a_result_or_the_paper_s(recipe: Path):
    wanted = read_specification(recipe / "conf/report.yaml")
    cited = {"years": [1979, 2018]}  # in the notes of tables
    given = [papers(recipe), wanted.title, wanted.command, {"interval": 95}, cited, "wav2vec 2.0", "< 0.001"]
    numbers, texts = known(read_results(recipe / "results.json"), given)
    results = (recipe / "RESULTS.md").read_text(encoding="utf-8")
    details = (recipe / "RESULTS_details.md").read_text(encoding="utf-8").partition("\n## ")[2]
    assert made_up(results.partition("\n")[2], numbers, texts) == []
    assert made_up(details, numbers, texts) == []


@pytest.mark.parametrize("text", ["over 89.9 % of it", "| 81.46 |", "2.86 to 4.3", "in 3 of 2 seeds", "seeds 1 to 7"])
def test_a_number_that_was_made_up_is_found(text: str):
    results = read_results(TOP / "egs/an4/results.json")
    numbers, texts = known(results, {"interval": 95})
    right = "9.5 instead of 6.7 %; 95 % interval 1.42 to 4.3, in 2 of 2 seeds"
    assert made_up(right, numbers, texts) == [] and made_up(text, numbers, texts) != []


def test_the_readme_is_short_and_its_table_current():
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert with_table(readme, results_table(TOP / "egs"), TOP / "README.md") == readme
    for path in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (TOP / path).is_file(), path
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", readme):
        assert (TOP / picture).stat().st_size < 200_000
    with pytest.raises(InputError, match="lacks the lines"):
        with_table("# no table", "", TOP / "README.md")


def test_every_number_of_the_readme_s_table_is_a_result_or_the_paper_s():
    lines = results_table(TOP / "egs").splitlines()[2:]
    assert [line.split("]")[0][3:] for line in lines] == [recipe.name for recipe in RECIPES]
    for recipe, line in zip(RECIPES, lines, strict=True):
        numbers, texts = known(read_results(recipe / "results.json"), papers(recipe))
        assert made_up(line.partition(")")[2], numbers, texts) == []
