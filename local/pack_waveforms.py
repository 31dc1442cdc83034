#!/usr/bin/env python3
"""Stage 2: each set's recordings as one array, which trainings keep in memory."""

import logging
from pathlib import Path

from salience import program
from salience.data.directories import read_data_dir
from salience.data.packed import pack, packed_bytes
from salience.errors import InputError
from salience.features.commands import RATE, SAMPLES, SHORTEST
from salience.files import require_space
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(Path(__file__).name)


def pack_waveforms(data: Path, out: Path, sets: str, long: str = "", check_space: bool = True) -> None:
    """Write OUT/SET/signals.npy and OUT/SET/utterances (first sample and number of samples), at 16 kHz.

    Args:
        data: Folder of the data directories.
        out: Folder for the arrays.
        sets: Sets of clips of one second at most, separated by spaces; shorter ones are padded with zeros.
        long: Sets of recordings of any length.
        check_space: Refuse to start where the disk has no room for what will be written.
    """
    waiting = []
    for name in [*sets.split(), *long.split()]:
        utterances = read_data_dir(data / name)
        if not utterances:
            raise InputError(f"{data / name} holds no utterance; run stage 1 again")
        step = Step(
            out / name / "step.json",
            {
                "rate": RATE,
                "width": SAMPLES if name in sets.split() else None,
                "audio": audio_fingerprint(u.audio for u in utterances),
            },
            inputs=[data / name / table for table in ("wav.scp", "segments")],
            outputs=[out / name / "signals.npy", out / name / "utterances"],
        )
        if not step.is_done():
            waiting.append((name, utterances, step))
    if check_space and waiting:
        sizes = [
            packed_bytes(utterances, RATE, SAMPLES if name in sets.split() else None) for name, utterances, _ in waiting
        ]
        # A set that is being packed takes its room twice.
        require_space(out, [], sum(sizes) + max(sizes), "the waveforms")
    for name, utterances, step in waiting:
        with step:
            pack(out / name, utterances, RATE, SAMPLES if name in sets.split() else None, SHORTEST)
        logger.info("%d recordings are in %s", len(utterances), out / name)


if __name__ == "__main__":
    program.main(pack_waveforms)
