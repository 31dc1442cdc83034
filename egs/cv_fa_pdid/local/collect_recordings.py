#!/usr/bin/env python3
"""Stage 0: clips of one job's share of the recordings."""

import logging
from pathlib import Path

from salience import program
from salience.collection.recording import Settings, collect, read_outcome
from salience.collection.reference import read_reference, shared
from salience.collection.sources import find
from salience.errors import InputError
from salience.progress import bar

logger = logging.getLogger("collect_recordings")


def collect_recordings(
    out: Path,
    settings: Settings,
    root: Path | None = None,
    table: Path | None = None,
    reference: Path | None = None,
    job: int = 1,
    jobs: int = 1,
) -> None:
    """Write out/<recording>/, with clips and outcome.json, for every jobs-th recording.

    A folder appears when its recording is done.  Recordings that are done,
    with the same file and settings, are skipped.

    Args:
        out: Folder for the recordings' folders.
        settings: How to collect.
        root: Recordings in a folder an accent; or what the paths of the table count from.
        table: Recordings as lines of path, accent and perhaps speaker, separated by tabs.
        reference: What merge_collection.py will compare with; here only to see, before hours of work, that it can.
        job: This job's number.
        jobs: How many jobs share the work.
    """
    sources, _ = find(root, table)
    if reference and sources:
        shared((source.key for source in sources), read_reference(reference))
    own = sources[job - 1 :: jobs]
    done = 0
    for source in bar(own, "recordings"):
        try:
            fresh = collect(source, out / source.key, settings)
        except InputError:
            raise
        except Exception:
            logger.error("the collection from %s failed", source.path)
            raise
        if fresh:
            outcome = read_outcome(out / source.key)
            logger.info("%s: %d clips, %d pieces rejected", source.key, len(outcome.clips), len(outcome.rejected))
        else:
            done += 1
    logger.info("%d recordings, of which %d were done before", len(own), done)


if __name__ == "__main__":
    program.main(collect_recordings)
