#!/usr/bin/env python3
"""Stage 5: of each family of systems, for instance noise at several SNRs, choose the member that is best on dev."""

import logging
from pathlib import Path

import numpy as np

from salience import program
from salience.errors import RERUN, InputError
from salience.files import read_json, whole_file
from salience.training.keyword_systems import read_keyword_systems

logger = logging.getLogger(Path(__file__).name)


def choose_system(systems: Path, only: str, seeds: str, models: Path) -> None:
    """Write MODELS/FAMILY/chosen, the name of the member with the lowest dev error, and log all errors.

    The error is that of the epoch that each training kept, averaged over
    seeds; of two members with the same error, the later one in systems.yaml.

    Args:
        systems: The recipe's systems.yaml.
        only: Names of the systems, separated by spaces.
        seeds: Seeds of the trainings, separated by spaces.
        models: Folder of the trainings.
    """
    for family, system in read_keyword_systems(systems, only.split()).items():
        if not system.choose:
            continue
        averaged = seeds.split()[: system.max_seeds]
        errors = {
            name: float(np.mean([kept_error(models / name / f"seed{seed}" / "history.json") for seed in averaged]))
            for name, _ in system.members(family)
        }
        best = min(reversed(errors), key=errors.__getitem__)
        for name, error in errors.items():
            logger.info("%s: dev error %.2f %%%s", name, error, ", chosen" if name == best else "")
        with whole_file(models / family / "chosen") as handle:
            handle.write(best + "\n")


def kept_error(history: Path) -> float:
    """Return the dev error in percent of the epoch with the lowest dev loss."""
    scores = [entry for entry in read_json(history) if "eval_dev_loss" in entry]
    if not scores:
        raise InputError(f"{history} holds no dev score; remove its folder and {RERUN}", history)
    return float(min(scores, key=lambda entry: entry["eval_dev_loss"])["eval_dev_error"])


if __name__ == "__main__":
    program.main(choose_system)
