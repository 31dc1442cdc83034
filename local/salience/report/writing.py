"""The sentence on what masks write."""

from salience.report.cells import label
from salience.report.findings import RULES
from salience.report.frames import Part
from salience.scoring.specification import Row, select


@RULES.register("writing")
def writing_sentences(part: Part) -> list[str]:
    """Say in one sentence the writing index of each band on test; nothing where there is none."""
    rows = select(part.rows, {"metric": "writing_index", "set": "test", "normaliser": part.normaliser})
    known = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["band"])
    unknown = [_where(row) for row in rows if row["value"] is None]
    nothing = f"noise {' and '.join(unknown)} costs too little to tell" if unknown else ""
    if not known:
        return [f"Whether the masks write is open: {nothing}."] if rows else []
    indices = ", ".join(f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f}) {_where(row)}" for row in known)
    told = "; ".join(filter(None, [indices, nothing]))
    return [f"The masks' writing index (0: they reveal speech, 1: they write the words themselves) is {told}."]


def _where(row: Row) -> str:
    text = label("band", row["band"])
    return text if row["band"][0] == 0 else f"at {text}"
