#!/usr/bin/env python3
"""Stage 0: one corpus of what was collected from each recording, its summary, and how it compares with a reference."""

import logging
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from salience import program
from salience.collection import summary
from salience.collection.recording import Settings, read_outcome, remove_others, steps_used
from salience.collection.reference import Reference, compare, read_reference, text_of
from salience.collection.sources import find
from salience.collection.spans import RATE
from salience.corpora import pdid
from salience.corpora.download import whole_folder
from salience.errors import InputError
from salience.files import whole_file, write_json
from salience.report.collection_figures import draw_histograms

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
    """Write out/pdid (metadata.tsv and <accent>/*.wav), and beside it rejected.tsv, collection.json, histograms.png, root.txt.

    Args:
        recordings: Where collect_recordings.py left the recordings' folders.
        out: Folder for the corpus.
        settings: How they were collected.
        root: As for collect_recordings.py.
        table: As for collect_recordings.py.
        reference: Timed utterances, to compare with and to take the clips' text from: recording, start, end, speaker, text.
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
    clips = []
    with whole_folder(out / "pdid") as corpus:
        for key, outcome in outcomes.items():
            rejected += outcome.rejected
            for clip, span in zip(outcome.clips, outcome.found.clips, strict=True):
                folder = corpus / _folder_of(clip.accent)
                folder.mkdir(exist_ok=True)
                _link(recordings / key / clip.path, folder / clip.path)
                clips.append(
                    replace(clip, path=f"{folder.name}/{clip.path}", text=text_of(span, known.get(key, Reference())))
                )
        pdid.write_metadata(corpus, clips)
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
    draw_histograms(out / "histograms.png", told["histograms"], synthetic)
    with whole_file(out / "root.txt") as handle:
        handle.write(f"{(out / 'pdid').absolute()}\n")
    logger.info(
        "%d clips, %.2f of %.2f hours; %d rejected",
        told["clips"],
        told["hours"],
        told["recording_hours"],
        len(rejected),
    )
    for row in told["accents"]:
        logger.info("%s: %d clips, %.2f hours", row["accent"], row["samples"], row["hours"])


def _folder_of(accent: str) -> str:
    return "_".join(accent.replace("/", " ").split())


def _link(source: Path, target: Path) -> None:
    """The same file under a second name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    program.main(merge_collection)
