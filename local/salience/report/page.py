"""report.html: one file with the tables, the charts and the data that its script draws."""

import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup, escape

from salience.report.charts import Chart, accents_chart, rates_chart
from salience.report.render import environment
from salience.report.sections import Report
from salience.scoring.specification import Row

SWITCHES = ("metric", "set", "normaliser", "accent", "gender", "snr")
"""Fields by which the rows of the first chart are chosen, in this order."""
ELSEWHERE = (
    "weight",
    "sweep",
    "band",
    "recording",
    "reason",
    "tolerance",
    "hertz",
    "speaker",
    "leave",
    "curve",
    "against",
    "share",
)
"""A row with one of these fields is no rate of a system on a set: a table or a chart of its own has it."""
SHOWN = ("system", *SWITCHES, "value", "low", "high", "n", "seeds", "values", "paper")


def html(
    report: Report,
    rows: Sequence[Row],
    metric: str,
    intro: str = "",
    charts: Mapping[str, Sequence[Chart]] | None = None,
    utterances: Sequence[Mapping[str, Any]] = (),
) -> str:
    """One page with everything in it.

    Args:
        report: What the tables show, and what came out.
        rows: Rows of results.json, which the first charts show.
        metric: The error rate by which systems are compared.
        intro: Plain text; a blank line ends a paragraph.
        charts: Further charts of each corpus.
        utterances: What the script shows of utterances.
    """
    rates = [
        [
            _shown(row)
            for row in rows
            if (row["corpus"], row["synthetic"]) == (one.corpus, report.synthetic) and _is_rate(row)
        ]
        for one in report.sections
    ]
    drawn = [[chart.to_dict() for chart in (charts or {}).get(one.corpus, ())] for one in report.sections]
    data = {
        "metric": metric,
        "switches": SWITCHES,
        "rates": rates_chart().to_dict(),
        "accents": accents_chart().to_dict(),
        "sections": [{"rows": of_one, "charts": those} for of_one, those in zip(rates, drawn)],
        "utterances": list(utterances),
    }
    templates = environment(True)
    templates.filters["prose"] = prose
    return templates.get_template("report.html.j2").render(
        report=report,
        charted=[bool(of_one) for of_one in rates],
        drawn=[bool(those) for those in drawn],
        paragraphs=[" ".join(part.split()) for part in re.split(r"\n\s*\n", intro) if part.strip()],
        utterances=utterances,
        data=script_data(data),
        library=Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", "6.4")),
        style=_asset("report.css"),
        script=_asset("report.js"),
    )


def prose(text: str) -> Markup:
    """Plain text whose `code` is marked as such."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def script_data(value: Any) -> Markup:
    """Data as JSON that no text in it can end or leave, whatever a corpus has in its texts and names."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _asset(name: str) -> Markup:
    return Markup((importlib.resources.files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def _is_rate(row: Row) -> bool:
    """Whether a row is a rate of a system on a set, with an interval."""
    return (
        row.get("system") is not None
        and row.get("low") is not None
        and all(row.get(name) is None for name in ELSEWHERE)
    )


def _shown(row: Row) -> dict[str, Any]:
    """The fields of a row that the first charts need."""
    return {name: row[name] for name in SHOWN if row.get(name) is not None}
