"""What results.json was rendered to is found again: every number of it, in its row."""

import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "recipes"))
import compare_numbers
from compare_numbers import RECIPES, kept, lines_of, lost, markdown_of


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_is_still_there(recipe):
    assert compare_numbers.differences(recipe) == []


@pytest.mark.parametrize("kind", ["md", "html"])
def test_a_changed_swapped_or_dropped_number_is_missed(kind):
    old = kept("an4", kind)
    old = markdown_of(old) if kind == "html" else old
    assert lost(old, old) == [] and len(list(lines_of(old))) > 200
    row = next(line for line in old.splitlines() if re.match(r"\| *masked-noise +\|", line))
    numbers = re.findall(r"\d+\.\d", row)
    for changed in (
        row.replace(numbers[1], "99.9", 1),
        row.replace(numbers[1], "", 1),
        row.replace(numbers[0], "x").replace(numbers[1], numbers[0], 1).replace("x", numbers[1]),
        row.replace("masked-noise", "clean"),
        "",
    ):
        assert any("masked-noise" in line for line in lost(old, old.replace(row, changed, 1))), changed
    sentence = next(line for line in old.splitlines() if "points worse than clean" in line)
    assert lost(old, old.replace(sentence, sentence.replace("95 %", "94 %"), 1))
    # Another column and other words are a better layout, and lose nothing.
    assert lost(old, old.replace(row, row + " more | 5 |", 1).replace("points worse", "points more")) == []


def test_a_section_that_is_gone_is_missed():
    old = kept("cv_fa_pdid", "md")
    gone = old[: old.index("## PDID collection, SYNTHETIC")] + old[old.index("## Common Voice fa and PDID") :]
    assert all(line.startswith("PDID collection, SYNTHETIC") for line in lost(old, gone)) and lost(old, gone)
