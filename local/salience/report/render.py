"""Sections of results as Markdown and as one HTML page."""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from salience.data.bidi import goes_right_to_left
from salience.report.sections import Section
from salience.report.tables import Table


def _environment(escape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("salience.report"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.tests["table"] = lambda block: isinstance(block, Table)
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


def markdown(sections: Sequence[Section], title: str, intro: str = "") -> str:
    """RESULTS.md.  `intro` is Markdown of our own, put in as it is."""
    page = _environment(False).get_template("RESULTS.md.j2").render(sections=sections, title=title, intro=intro.strip())
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"


def html(
    sections: Sequence[Section],
    title: str,
    intro: str = "",
    figures: Mapping[str, Path] | None = None,
    examples: Sequence[str] = (),
) -> str:
    """One page with everything in it.

    `intro` is plain text, a paragraph a blank line.  `figures` maps captions
    to PNG files, which are embedded.  `examples` are aligned transcripts, each
    after its utterance id.
    """
    pictures = [
        (caption, base64.b64encode(Path(path).read_bytes()).decode()) for caption, path in (figures or {}).items()
    ]
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", intro) if part.strip()]
    lines = []
    for example in examples:
        key, _, aligned = example.partition(" ")
        lines.append((key, aligned, "rtl" if goes_right_to_left(aligned) else "ltr"))
    template = _environment(True).get_template("report.html.j2")
    return template.render(sections=sections, title=title, paragraphs=paragraphs, pictures=pictures, examples=lines)
