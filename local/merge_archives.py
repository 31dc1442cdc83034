#!/usr/bin/env python3
"""Join what the jobs of an array wrote into one sorted table a set."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import read_table, write_table
from salience.errors import stale
from salience.features.archives import merge_scps
from salience.steps import Step

logger = logging.getLogger("merge_archives")


def merge_archives(folder: Path, sets: str, name: str, jobs: int, data: Path | None = None, tables: str = "") -> None:
    """Write folder/SET/NAME.scp from NAME.1.scp ... NAME.JOBS.scp, and each table from its parts.

    Args:
        folder: Folder of the sets.
        sets: Names of the sets, separated by spaces.
        name: Name of the archives, for instance feats.
        jobs: Number of parts.
        data: Data directories; every utterance there must be in the result.
        tables: Further tables to join, for instance utt2num_frames.
    """
    for set_name in sets.split():
        place = folder / set_name
        step = Step(
            place / f"{name}.step.json",
            {"jobs": jobs},
            outputs=[place / each for each in (f"{name}.scp", *tables.split())],
        )
        parts = [place / f"{name}.{job}.scp" for job in range(1, jobs + 1)]
        # Always done: it takes no time.  The record is for those that read the result.
        with step:
            count = merge_scps(parts, place / f"{name}.scp")
            if data is not None:
                missing = read_table(data / set_name / "utt2spk").keys() - read_table(place / f"{name}.scp").keys()
                if missing:
                    fault = f"lacks {len(missing)} utterances of {data / set_name}, first {min(missing)}"
                    raise stale(place / f"{name}.scp", fault)
            for table in tables.split():
                joined: dict[str, str] = {}
                for job in range(1, jobs + 1):
                    joined.update(read_table(place / f"{table}.{job}"))
                write_table(place / table, joined)
        logger.info("%s: %d utterances", place / f"{name}.scp", count)


if __name__ == "__main__":
    program.main(merge_archives)
