"""report.html in a real browser: what a reader sees, switches and hears, with texts that try to be markup."""

import json
from pathlib import Path

import pytest
from compare_reports import compare_reports
from page_helpers import data_of
from report_results import report_results

from salience import program
from salience.scoring.results import new_row, write_results

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'`{{7*7}}\u202e&lt;"""
SYSTEMS = ("zero-shot", "plain", "gradcam", HOSTILE)
ACCENTS = ("Dutch", HOSTILE, "گیلکی")
COMMON = {"corpus": f"Toy {HOSTILE}", "synthetic": True, "command": "./run.sh", "commit": "abc", "date": "2026"}
REPORT = """
title: Toy corpus
metric: wer
main: {title: Rates, where: {metric: wer, accent: null}, by: system, columns: [system, {title: WER}]}
"""


def rows() -> list[dict]:
    """Rates of every system, of all utterances and by accent, and the paper's figure of one."""
    found = []
    for metric in ("wer", "cer"):
        for name in ("dev", "test"):
            for place, accent in enumerate((None, *ACCENTS)):
                for better, system in enumerate(SYSTEMS):
                    value = 40.0 - 5 * better + 3 * place + (metric == "cer") - (name == "dev")
                    known = {"set": name, "accent": accent, "system": system, "metric": metric, "normaliser": "raw 1"}
                    known |= {"low": value - 2, "high": value + 3, "n": 20, "seeds": [1, 2], "paper": None}
                    known |= {"values": [value - 1, value + 1], "value": value}
                    found.append(new_row(COMMON, **known) | {"paper": 30.0 if system == "plain" else None})
    return found


@pytest.fixture(scope="module")
def results_alone(tmp_path_factory) -> Path:
    """A page from results.json alone."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.yaml").write_text(REPORT)
    run = {
        **{name: COMMON[name] for name in COMMON},
        "seeds": [1, 2],
        "settings": {"of": HOSTILE},
        "versions": {"a": "1"},
    }
    write_results(folder / "results.json", {"rows": rows(), "comparisons": [], "runs": [run]})
    report_results(folder / "report.yaml", folder / "results.json", folder / "RESULTS.md", folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def opened(browser, results_alone):
    """The page in a window, which must have said nothing to the console at its end."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url))
    page.goto(results_alone.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector(".rates svg .mark-symbol path")
    yield page
    assert said == []
    context.close()


def lines(page, chart: str) -> list[str]:
    """What the lines of a chart are called; the numbers of the other axis are not among them."""
    texts = page.locator(f"{chart} svg .role-axis-label text").all_text_contents()
    return [text for text in texts if not text.isdecimal()]


def test_the_first_chart_follows_its_switches(opened):
    found = lines(opened, ".rates")
    assert found[:3] == list(SYSTEMS[:3]) and found[3].startswith("</script>") and len(found) == 4
    caption = opened.inner_text(".rates figcaption")
    assert caption.startswith("WER (%), test. Lower is better.") and "diamond: the paper" in caption
    mark = ".rates svg path[aria-label]"
    before = opened.get_attribute(mark, "aria-label")
    for name, choice in (("metric", "CER (%)"), ("set", "dev"), ("accent", "Dutch")):
        opened.select_option(f".rates select[name={name}]", label=choice)
    assert opened.inner_text(".rates figcaption").startswith("CER (%), dev, Dutch.")
    opened.wait_for_function("([mark, old]) => document.querySelector(mark).ariaLabel !== old", arg=[mark, before])
    assert opened.locator(".rates table tbody tr").nth(1).locator("td").nth(1).text_content() == "38.00"


def test_accents_are_sorted_by_their_gap(opened):
    found = lines(opened, ".accents")
    assert found[0] == ACCENTS[2] and found[1].startswith("</script>") and found[2:] == ["Dutch"]


def test_nothing_of_a_corpus_is_markup(opened):
    assert opened.locator("script").count() == 3 and opened.locator("img").count() == 0
    assert HOSTILE in opened.text_content("section h2")
    assert HOSTILE in opened.locator("dd").all_text_contents()
    assert json.loads(opened.text_content("#data"))["sections"][0]["rows"][3]["system"] == HOSTILE


CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return /, 0\\)$/.test(colour) && node.parentElement ? behind(node.parentElement) : colour;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const own = light(node instanceof SVGElement ? style.fill : style.color);
    const pair = [own, light(behind(node))].sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.tagName, walk.currentNode.data.trim()]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_all_text(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    opened.wait_for_selector(f"html[data-mode={scheme}]")
    opened.wait_for_timeout(300)
    found = opened.evaluate(CONTRAST)
    assert len(found) > 50 and found[0][0] >= 4.5, found[:5]


def test_the_button_of_the_colours_is_reached_and_pressed_by_keyboard(opened):
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "mode"
    modes = []
    for _ in range(3):
        opened.keyboard.press("Enter")
        modes.append((opened.get_attribute("html", "data-mode"), opened.inner_text("#mode")))
    assert modes == [("light", "Colours: light"), ("dark", "Colours: dark"), ("light", "Colours: auto")]


@pytest.mark.parametrize("width", [400, 1600])
def test_no_width_scrolls_sideways(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.wait_for_timeout(300)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_experiments_are_compared_in_one_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("report.yaml").write_text(REPORT)
    for place, name in enumerate(("first/exp", "second/exp")):
        Path(name).mkdir(parents=True)
        run = {**COMMON, "command": f"./run.sh {name}", "seeds": [1, 2], "settings": {}, "versions": {}}
        found = [row | {"value": row["value"] + place} for row in rows() if row["accent"] is None]
        write_results(Path(name, "results.json"), {"rows": found, "comparisons": [], "runs": [run]})
    words = ["first/exp/results.json", "second/exp/results.json"]
    monkeypatch.setattr("sys.argv", ["compare_reports.py", *words, "--report", "report.yaml", "--out", "both.html"])
    program.main(compare_reports, first="results")
    page = Path("both.html").read_text()
    assert "Toy corpus: 2 experiments" in page and page.count("./run.sh first/exp") == 1
    shown = [row for row in data_of(Path("both.html"))["sections"][0]["rows"] if row["set"] == "test"]
    values = {row["system"]: row["value"] for row in shown if row["metric"] == "wer"}
    assert values["plain (second/exp)"] == values["plain (first/exp)"] + 1 and len(values) == 2 * len(SYSTEMS)
    monkeypatch.setattr("sys.argv", ["compare_reports.py", words[0], words[0], "--report", "report.yaml"])
    with pytest.raises(SystemExit, match="the same results.json is given twice"):
        program.main(compare_reports, first="results")
