#!/usr/bin/env python3
"""Stage 5: the signal-to-noise ratio of conventional noise that is best on dev."""

import logging
from pathlib import Path

import numpy as np

from salience import program
from salience.errors import InputError
from salience.files import read_json, whole_file

logger = logging.getLogger(Path(__file__).name)


def choose_snr(histories: str, snrs: str, seeds: str, out: Path) -> None:
    """Write the ratio with the lowest dev error to OUT, and log all.

    The error is that of the epoch that each training kept, averaged over
    seeds; of two ratios with the same error, the one with less noise.

    Args:
        histories: Pattern of the trainings' history.json, with {snr} and {seed}.
        snrs: Ratios in dB, separated by spaces.
        seeds: Seeds, separated by spaces.
        out: File to write.
    """
    errors = {
        snr: float(
            np.mean(
                [kept_error(Path(histories.replace("{snr}", snr).replace("{seed}", seed))) for seed in seeds.split()]
            )
        )
        for snr in snrs.split()
    }
    best = min(errors, key=lambda snr: (errors[snr], -float(snr)))
    for snr, error in errors.items():
        logger.info("%s dB: dev error %.2f %%%s", snr, error, ", chosen" if snr == best else "")
    with whole_file(out) as handle:
        handle.write(best + "\n")


def kept_error(history: Path) -> float:
    """Dev error in percent of the epoch with the lowest dev loss."""
    scores = [entry for entry in read_json(history) if "eval_dev_loss" in entry]
    if not scores:
        raise InputError(f"{history} holds no dev score; remove its folder and run stage 5 again")
    return float(min(scores, key=lambda entry: entry["eval_dev_loss"])["eval_dev_error"])


if __name__ == "__main__":
    program.main(choose_snr)
