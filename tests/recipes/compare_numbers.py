#!/usr/bin/env python3
"""Find every number of the kept renderings of results.json again in what the current code renders.

renderings/ has, for each recipe, a results.json, and the RESULTS.md and the
text of the report.html that it was rendered to.  The layout may change: tables
may have more columns, sentences other words.  But in the section of the same
corpus

- a row of a table must be found with its first cell and its numbers, in their
  order, in one row,
- the numbers of a sentence must be found, in their order, in one line or
  paragraph,

so that a changed, dropped or swapped number is reported.
"""

import gzip
import html
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("renderings")
RECIPES = tuple(path.name.partition(".")[0] for path in sorted(KEPT.glob("*.json.gz")))
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")

RENAMED = {"∞, continue-clean": "continue-clean"}
"""First cells of rows that are called otherwise now."""

Line = tuple[list[str], list[str]]
"""The cells of a table's row, or nothing, and the numbers of the row or sentence, without commas in thousands."""


def kept(recipe: str, kind: str) -> str:
    """The kept `json`, `md` or `html` of a recipe."""
    return gzip.decompress((KEPT / f"{recipe}.{kind}.gz").read_bytes()).decode()


def rendered(recipe: str) -> dict[str, str]:
    """What the current code makes of the kept results: {kind: text}."""
    sys.path.append(str(TOP / "local"))
    from report_results import report_results

    wanted = TOP / "egs" / recipe / "conf/report.yaml"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results.json").write_text(kept(recipe, "json"), encoding="utf-8")
        report_results(wanted, folder / "results.json", folder / "out.md", folder / "out.html")
        return {kind: (folder / f"out.{kind}").read_text(encoding="utf-8") for kind in ("md", "html")}


def markdown_of(page: str) -> str:
    """The headings, paragraphs, lists and tables of a page, written as Markdown."""
    page = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.S)
    page = re.sub(r"\s*<h(\d)[^>]*>", lambda found: f"\n\n{'#' * int(found[1])} ", page)
    page = re.sub(r"<tr>", "\n| ", re.sub(r"</t[dh]>", " | ", page))
    page = re.sub(r"<(?:li|dt)>", "\n- ", re.sub(r"</?(?:p|ul|dl|table|pre)\b[^>]*>", "\n\n", page))
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def lines_of(text: str, by_sentence: bool = False) -> Iterator[tuple[str, Line]]:
    """Each row and paragraph (or its sentences) that has a number, after the title of its section."""
    section = ""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-|#]))", text):
        block = " ".join(block.split())
        if block.startswith("## "):
            section = block.removeprefix("## ")
        cells, parts = [], [block]
        if block.startswith("|"):
            cells = [cell.strip() for cell in block.strip("| ").split("|")]
        elif by_sentence:
            parts = re.split(r"(?<=[.;:]) ", block)
        for part in parts:
            numbers = [number.replace(",", "") for number in NUMBER.findall(part)]
            if section and numbers:
                yield section, (cells, numbers)


def lost(old: str, new: str) -> list[str]:
    """The rows and sentences of the old text, both Markdown, whose numbers are not in the new one."""
    there: dict[str, list[Line]] = {}
    for section, line in lines_of(new):
        there.setdefault(section, []).append(line)
    return [
        f"{section}: {cells[0] if cells else '(sentence)'}: {' '.join(numbers)}"
        for section, (cells, numbers) in lines_of(old, by_sentence=True)
        if not any(
            {RENAMED.get(cell, cell) for cell in cells[:1]} <= set(others) and _in_order(numbers, found)
            for others, found in there.get(section, [])
        )
    ]


def _in_order(numbers: list[str], line: list[str]) -> bool:
    rest = iter(line)
    return all(number in rest for number in numbers)


def differences(recipe: str) -> list[str]:
    """What of a recipe's kept renderings is not found again."""
    new = rendered(recipe)
    return lost(kept(recipe, "md"), new["md"]) + lost(markdown_of(kept(recipe, "html")), markdown_of(new["html"]))


def main() -> None:
    """Print what is lost; exit code 1 if anything is."""
    found = [f"{recipe}: {line}" for recipe in RECIPES for line in differences(recipe)]
    print("\n".join(found) or f"every number of {', '.join(RECIPES)} is there")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
