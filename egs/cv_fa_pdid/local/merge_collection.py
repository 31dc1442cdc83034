#!/usr/bin/env python3
"""Stage 0: one corpus of what was collected from each recording, its summary, and how it compares with a reference."""

import logging
from dataclasses import asdict
from pathlib import Path

from salience import program
from salience.collection import summary
from salience.collection.corpus import write_corpus
from salience.collection.recording import Settings, read_outcome, remove_others, steps_used
from salience.collection.reference import compare, read_reference
from salience.collection.sources import find
from salience.collection.spans import RATE
from salience.errors import InputError
from salience.files import write_json, write_lines

logger = logging.getLogger("merge_collection")


def merge_collection(
    recordings: Path,
    out: Path,
    settings: Settings,
    root: Path | None = None,
    table: Path | None = None,
    reference: Path | None = None,
    synthetic: bool = False,
) -> None:
    """Write out/pdid (metadata.tsv, <accent>/*.wav) and out/{rejected.tsv,collection.json,root.txt}.

    Args:
        recordings: Where collect_recordings.py left the recordings' folders.
        out: Folder for the corpus.
        settings: How they were collected.
        root: As for collect_recordings.py.
        table: As for collect_recordings.py.
        reference: Timed utterances, to compare with and to take the clips' text from: a table of recording, start,
            end, speaker, text.
        synthetic: Whether the recordings were made by a machine.
    """
    sources, rejected = find(root, table)
    known = read_reference(reference) if reference else {}
    remove_others(recordings, {source.key for source in sources})
    outcomes = {source.key: read_outcome(recordings / source.key) for source in sources}
    # Before anything is replaced: it may be the reference of other recordings.
    compared = (
        compare({key: outcome.found for key, outcome in outcomes.items()}, known) if reference and outcomes else None
    )
    clips = write_corpus(out / "pdid", recordings, outcomes, known)
    rejected += [one for outcome in outcomes.values() for one in outcome.rejected]
    summary.write_rejected(out / "rejected.tsv", rejected)
    if not clips:
        raise InputError(f"no clip could be collected; {out}/rejected.tsv says why of each recording")
    lengths = {key: outcome.found.length / RATE for key, outcome in outcomes.items() if outcome.found.length}
    told = {
        "synthetic": synthetic,
        **summary.summarise(clips, rejected, lengths),
        "steps": steps_used(settings),
        "settings": asdict(settings),
        "reference": compared,
    }
    write_json(out / "collection.json", told)
    write_lines(out / "root.txt", [f"{(out / 'pdid').absolute()}"])
    logger.info("%d clips, %.2f of %.2f hours", told["clips"], told["hours"], told["recording_hours"])
    logger.info("%d pieces or recordings rejected", len(rejected))
    for row in told["accents"]:
        logger.info("%s: %d clips, %.2f hours", row["accent"], row["samples"], row["hours"])


if __name__ == "__main__":
    program.main(merge_collection)
