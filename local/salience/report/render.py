"""A report as Markdown."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from salience.report.sections import Report
from salience.report.tables import plain_text


def environment(escape: bool) -> Environment:
    """The templates, escaping what is put in or not."""
    environment = Environment(
        loader=PackageLoader("salience.report"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["md"] = markdown_text
    environment.filters["code"] = markdown_code
    return environment


def markdown_text(text: str) -> str:
    """Text from data as Markdown shows it literally, in a table as well: no markup, no second line."""
    escaped = re.sub(r"([\\`*\[\]|#~])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"<(?=\S)", "&lt;", re.sub(r"&(?=\w|\\)", "&amp;", escaped))


def markdown_code(text: str) -> str:
    """Text as inline code of Markdown, fenced by more backticks than it contains."""
    text = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def markdown(report: Report) -> str:
    """RESULTS.md: one screen."""
    known = {"commit": None} | dict(report.repeat)
    texts = {"date": "{}", "seeds": "seeds {}", "machine": "on {}", "hours": "{} hours in all"}
    told = [text.format(known[name]) for name, text in texts.items() if known.get(name)]
    return _page("RESULTS.md.j2", report=report, known=known, told=", ".join(told))


def details(report: Report, intro: str = "") -> str:
    """RESULTS_details.md: all tables.  `intro` is Markdown of our own, put in as it is."""
    return _page("RESULTS_details.md.j2", report=report, intro=intro.strip())


def terminal(report: Report, corpus: str | None = None) -> str:
    """Findings and the main table, of one corpus or that which the report shows first, as aligned text."""
    shown = next(
        (section.main for section in report.sections if section.main and section.corpus == corpus), report.main
    )
    said = ["SYNTHETIC speech"] * report.synthetic + report.finding
    further = "\n".join(f"- {sentence}" for sentence in report.further)
    return "\n\n".join(filter(None, ["\n".join(said), plain_text(shown) if shown else "", further]))


def _page(template: str, **fields: Any) -> str:
    page = environment(False).get_template(template).render(**fields)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"
