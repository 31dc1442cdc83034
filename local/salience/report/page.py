"""report.html: one file with the tables, the charts and the data that its script draws."""

import base64
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair
import vl_convert
from markupsafe import Markup, escape

from salience.data.bidi import goes_right_to_left
from salience.report.render import environment
from salience.report.sections import Report
from salience.scoring.specification import Row

SWITCHES = ("metric", "set", "normaliser", "accent", "gender", "snr")
"""Fields by which the rows of the first chart are chosen, in this order."""
ELSEWHERE = ("weight", "sweep", "band", "recording", "reason", "tolerance", "hertz", "speaker", "leave", "curve")
"""A row with one of these fields is no rate of a system on a set: a table or a chart of its own has it."""
SHOWN = ("system", *SWITCHES, "value", "low", "high", "n", "seeds", "values", "paper")
METRIC = "@metric"
"""Stands in the specifications for the title of the axis, which the page's script puts in."""


def html(
    report: Report,
    rows: Sequence[Row],
    metric: str,
    intro: str = "",
    figures: Mapping[str, Path] | None = None,
    examples: Sequence[str] = (),
) -> str:
    """One page with everything in it.

    Args:
        report: What the tables show, and what came out.
        rows: Rows of results.json, which the charts show.
        metric: The error rate by which systems are compared.
        intro: Plain text; a blank line ends a paragraph.
        figures: PNG files by caption.
        examples: Aligned transcripts, each after its utterance id.
    """
    data = {
        "metric": metric,
        "switches": SWITCHES,
        "rates": rates_chart().to_dict(),
        "accents": accents_chart().to_dict(),
        "sections": [
            [_shown(row) for row in rows if (row["corpus"], row["synthetic"]) == (one.corpus, report.synthetic)]
            for one in report.sections
        ],
    }
    for rows_of_one in data["sections"]:
        rows_of_one[:] = [row for row in rows_of_one if row]
    templates = environment(True)
    templates.filters["prose"] = prose
    pictures = [(name, base64.b64encode(path.read_bytes()).decode()) for name, path in (figures or {}).items()]
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", intro) if part.strip()]
    return templates.get_template("report.html.j2").render(
        report=report,
        charted=[bool(rows_of_one) for rows_of_one in data["sections"]],
        paragraphs=paragraphs,
        pictures=pictures,
        examples=[_directed(example) for example in examples],
        data=script_data(data),
        library=Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", "6.4")),
        style=_asset("report.css"),
        script=_asset("report.js"),
    )


def _directed(example: str) -> tuple[str, str, str]:
    key, _, aligned = example.partition(" ")
    return key, aligned, "rtl" if goes_right_to_left(aligned) else "ltr"


def prose(text: str) -> Markup:
    """Plain text whose `code` is marked as such."""
    parts = (
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def script_data(value: Any) -> Markup:
    """Data as JSON that no text in it can end or leave, whatever a corpus has in its texts and names."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _asset(name: str) -> Markup:
    return Markup((importlib.resources.files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def _shown(row: Row) -> dict[str, Any] | None:
    """The fields of a row that the first charts need; None if it is none of their rows."""
    if row.get("system") is None or row.get("low") is None or any(row.get(name) is not None for name in ELSEWHERE):
        return None
    return {name: row[name] for name in SHOWN if row.get(name) is not None}


def rates_chart() -> altair.LayerChart:
    """A line for each system: its rate with interval, each seed and the paper's figure."""
    base = altair.Chart(altair.NamedData("rows")).encode(y=altair.Y("system:N", sort=None, title=None))
    seeds = base.transform_flatten(["seeds", "values"])
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("system", "value", "low", "high", "n", "paper")]
    return altair.layer(
        base.mark_rule(size=2.5).encode(x=_x("low"), x2="high:Q"),
        seeds.mark_circle(size=16, yOffset=8, opacity=0.9).encode(
            x=_x("values"), tooltip=["system:N", "seeds:N", "values:N"]
        ),
        base.mark_point(size=90, filled=True, opacity=1).encode(x=_x("value"), tooltip=tooltip),
        base.transform_filter("isValid(datum.paper)")
        .mark_point(shape="diamond", size=90, strokeWidth=2, color="#D55E00")
        .encode(x=_x("paper"), tooltip=tooltip),
    ).properties(width="container")


def accents_chart() -> altair.LayerChart:
    """A line for each accent with the rate of every system and its interval; the script sorts the accents."""
    system = altair.Color("system:N", sort=None, legend=altair.Legend(title=None, orient="top"))
    base = altair.Chart(altair.NamedData("rows")).encode(
        y=altair.Y("accent:N", sort=None, title=None), yOffset=altair.YOffset("system:N", sort=None), color=system
    )
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("accent", "system", "value", "low", "high", "n", "gap")]
    return altair.layer(
        base.mark_rule(size=1.5).encode(x=_x("low"), x2="high:Q"),
        base.mark_point(size=45, filled=True, opacity=1).encode(
            x=_x("value"), shape=altair.Shape("system:N", sort=None, legend=None), tooltip=tooltip
        ),
    ).properties(width="container")


def _x(name: str) -> altair.X:
    scale, axis = altair.Scale(zero=False, nice=True), altair.Axis(tickCount=8)
    return altair.X(f"{name}:Q", title=METRIC, scale=scale, axis=axis)
