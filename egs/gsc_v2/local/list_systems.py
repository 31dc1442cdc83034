#!/usr/bin/env python3
"""Print the recognisers that the asked systems train on from a baseline, a line each."""

import json
from pathlib import Path

from salience import program
from salience.training.keyword_systems import read_keyword_systems, trainings


def list_systems(systems: Path, only: str, seeds: str, models: Path, kind: str = "paper") -> None:
    """Print `<system> <seed> <stage> <sets> <masks> <options>` a line.

    The stage is 5 for families of which one member is chosen, else 6.  The
    sets are `dev` for those that were not chosen, else `all`.  The masks are
    those that were generated for a kind of recogniser, of KIND/METHOD those of
    a saliency method, or `-`.  The options are those of the training.

    Args:
        systems: The recipe's systems.yaml.
        only: Names of the systems, separated by spaces.
        seeds: Seeds of the trainings, separated by spaces.
        models: Folder of this kind's recognisers, whose dev errors tell which one is chosen.
        kind: Kind of recogniser that the generator `own` stands for.
    """
    known = read_keyword_systems(systems, only.split())
    for one in trainings(known, [int(seed) for seed in seeds.split()], models):
        sets = "dev" if one.system.choose and not one.chosen else "all"
        options = f"--augmentation '{json.dumps(one.augmentation)}'"
        print(one.name, one.seed, 5 if one.swept else 6, sets, one.system.masks_of(kind), options)


if __name__ == "__main__":
    program.main(list_systems)
