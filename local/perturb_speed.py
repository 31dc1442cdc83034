#!/usr/bin/env python3
"""A data directory with copies of its utterances at other speeds, which stage 2 plays."""

import logging
from dataclasses import replace
from pathlib import Path

from salience import program
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.errors import InputError

logger = logging.getLogger("perturb_speed")


def perturb_speed(source: Path, target: Path, factors: str) -> None:
    """Write TARGET: SOURCE, and for each factor a copy of each utterance, `sp<factor>-<id>` of `sp<factor>-<speaker>`.

    `utt2speed` holds the factors of the copies; extract_features.py plays them.

    Args:
        source: A data directory.
        target: The data directory to write.
        factors: Speeds, separated by spaces, such as "0.9 1.1".
    """
    utterances = read_data_dir(source)
    speeds: dict[str, str] = {}
    copies: list[Utterance] = []
    for factor in factors.split():
        if not factor.replace(".", "", 1).isdigit() or not 0.25 <= float(factor) <= 4:
            raise InputError(f"--factors holds {factor!r}; speeds are numbers from 0.25 to 4, such as 0.9")
        for utterance in utterances:
            # Without segments the recording is the utterance, so it is renamed with it.
            recording = utterance.recording if utterance.start is not None else f"sp{factor}-{utterance.id}"
            copy = replace(
                utterance,
                id=f"sp{factor}-{utterance.id}",
                speaker=f"sp{factor}-{utterance.speaker}",
                recording=recording,
                duration=utterance.duration / float(factor),
            )
            copies.append(copy)
            speeds[copy.id] = factor
    write_data_dir(target, [*utterances, *copies])
    write_table(target / "utt2speed", speeds)
    logger.info("wrote %s: %d utterances and %d copies", target, len(utterances), len(copies))


if __name__ == "__main__":
    program.main(perturb_speed)
