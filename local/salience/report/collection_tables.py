"""Tables of a collection's result rows."""

from collections.abc import Sequence

from salience.report.cells import NONE, Row, Table, distinct, rate

METRIC = "samples"
"""Rows with it are of a collection."""

MEASURES = {
    "coverage_clips": "time of the utterances that is in clips",
    "coverage_speech": "time of the utterances found to be speech",
    "speech_precision": "time found to be speech that is in utterances",
    "speaker_accuracy": "time whose speaker is right",
    "speaker_count": "recordings whose number of speakers is right",
    "music_precision": "time found to be music that is",
    "music_recall": "time of music that was found",
}


def main_tables(rows: Sequence[Row]) -> list[Table]:
    """The paper's Table 1 and, with a reference, how boundaries and times compare with it."""
    tables = [_accents(rows)]
    boundaries = [row for row in rows if row["metric"].startswith("boundary_")]
    if boundaries:
        onset = next((row["value"] for row in rows if row["metric"] == "reference_onset_error"), None)
        tables += [_boundaries(boundaries, onset), _measures(rows)]
    return tables


def detail_tables(rows: Sequence[Row]) -> list[Table]:
    """What was rejected and why, and which recordings lose most."""
    body = [
        [row["reason"], str(row["value"]), f"{row['seconds']:.1f}" if row["seconds"] else NONE]
        for row in rows
        if row["metric"] == "rejected"
    ]
    note = "Pieces of recordings, or whole recordings that could not be used; rejected.tsv names each."
    tables = [Table("Rejected", ["reason", "number", "seconds"], body, note)] if body else []
    return tables + _recordings(rows)


def _recordings(rows: Sequence[Row]) -> list[Table]:
    kept, lost = (
        {row["recording"]: row for row in rows if row["metric"] == metric}
        for metric in ("kept_seconds", "rejected_seconds")
    )
    body = [
        [name, f"{row['seconds']:.1f}", f"{kept[name]['value']:.1f}", f"{row['value']:.1f}"]
        for name, row in lost.items()
    ]
    whole = next((row["value"] for row in rows if row["metric"] == "recordings" and row["accent"] is None), len(body))
    note = "Seconds in neither hold no speech."
    if whole > len(body):
        note += f" The {len(body)} of {whole} recordings that lose most."
    return (
        [Table("Seconds of each recording", ["recording", "seconds", "in clips", "rejected"], body, note)]
        if body
        else []
    )


def _accents(rows: Sequence[Row]) -> Table:
    index = {(row["accent"], row["metric"]): row for row in rows if row["metric"] != "rejected"}
    accents = [accent for accent in distinct([row for row in rows if row["metric"] == METRIC], "accent") if accent]
    in_paper = any(index[accent, METRIC]["paper"] is not None for accent in accents)

    def line(name: str, accent: str | None) -> list[str]:
        cells = [name]
        for metric, written, printed in ((METRIC, "{:.0f}", "{:.0f}"), ("hours", "{:.2f}", "{:.1f}")):
            row = index[accent, metric]
            cells.append(written.format(row["value"]))
            if in_paper:
                said = row["paper"] if accent else _sum(index, accents, metric)
                cells.append(NONE if said is None else printed.format(said))
        for metric in ("recordings", "speakers"):
            row = index.get((accent, metric))
            cells.append(NONE if row is None else str(row["value"]))
        return cells

    headers = ["accent"]
    for name in ("samples", "hours"):
        headers += [name, f"{name}, paper"] if in_paper else [name]
    used = index[None, "recording_hours"]["value"]
    note = f"From {used:.2f} hours of recordings."
    if in_paper:
        note += (
            " The paper's figures are of its training set, from recordings that it does not name; their hours add up "
            "to 23.1, where its table says 23.0."
        )
    body = [line(accent, accent) for accent in accents] + [line("all", None)]
    return Table("Samples and hours of each accent", [*headers, "recordings", "speakers"], body, note)


def _sum(index: dict, accents: Sequence[str], metric: str) -> float:
    return round(sum(index[accent, metric]["paper"] or 0 for accent in accents), 1)


def _boundaries(rows: Sequence[Row], onset: float | None) -> Table:
    index = {(row["of"], row["tolerance"], row["metric"]): row["value"] for row in rows}
    body = [
        [
            what,
            f"{tolerance:g}",
            *(
                _percent(index[what, tolerance, f"boundary_{name}"])
                for name in ("precision", "recall", "f1", "chance_precision")
            ),
        ]
        for what, tolerance in dict.fromkeys((of, within) for of, within, _ in index)
    ]
    note = "By chance: the same boundaries moved along the recording."
    if onset is not None:
        note += (
            f" From an utterance's start to the nearest start of speech it is {onset:.2f} s (median); what follows"
            " without a pause has no start of its own."
        )
    return Table(
        "Pauses between clips, and between stretches of speech, against the reference's",
        ["boundaries of", "tolerance (s)", "precision (%)", "recall (%)", "F1 (%)", "precision by chance (%)"],
        body,
        note,
    )


def _measures(rows: Sequence[Row]) -> Table:
    values = {row["metric"].removeprefix("reference_"): row["value"] for row in rows}
    body = [[said, _percent(values.get(name))] for name, said in MEASURES.items()]
    note = f"{values['recordings']} recordings, {values['utterances']} utterances of the reference."
    return Table("Time, speakers and music against the reference", ["share", "%"], body, note)


def _percent(value: float | None) -> str:
    return NONE if value is None else rate(value)
