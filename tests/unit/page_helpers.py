"""What tests of pages share."""

import json
import re
from pathlib import Path
from typing import Any


def data_of(page: Path) -> dict[str, Any]:
    """The data that the script of a page draws."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    return json.loads(text)


def charts_of(page: Path) -> list[str]:
    """Titles of the charts behind those of the rates."""
    return [chart["title"] for section in data_of(page)["sections"] for chart in section["charts"]]
