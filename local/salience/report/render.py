"""Sections of results as Markdown."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from salience.report.sections import Section
from salience.report.tables import Table


def environment(escape: bool) -> Environment:
    """The templates, escaping what is put in or not."""
    made = Environment(
        loader=PackageLoader("salience.report"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.tests["table"] = lambda block: isinstance(block, Table)
    made.filters["md"] = markdown_text
    made.filters["code"] = markdown_code
    return made


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


def markdown(sections: Sequence[Section], title: str, intro: str = "") -> str:
    """RESULTS.md.  `intro` is Markdown of our own, put in as it is."""
    page = environment(False).get_template("RESULTS.md.j2").render(sections=sections, title=title, intro=intro.strip())
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"
