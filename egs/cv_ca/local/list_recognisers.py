#!/usr/bin/env python3
"""Print the recognisers that the options ask for, a line each."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salience import program
from salience.errors import InputError
from salience.files import read_yaml
from salience.masking.systems import read_systems


def list_recognisers(
    start_models: Path,
    systems: Path,
    own: str,
    starts: str,
    variants: str,
    variant_start: str,
    seeds: str,
    classifier_seeds: str,
) -> None:
    """Print `<start> <variant> <seed> <masks> <model>` a line.

    Recognisers from the start of the variants have each of them, with the
    seeds of the classifiers; all others are plain.  `masks` is `none`,
    `mapped` where the masks need maps, or `masked`.  The model is quoted.

    Args:
        start_models: YAML file with the model of each start; two more starts are `random` and `own`.
        systems: The recipe's systems.yaml, which says how each variant is masked.
        own: Folder of the model that the start `own` stands for.
        starts: Names of the starts, separated by spaces.
        variants: Names of the variants, separated by spaces.
        variant_start: The start that all variants have.
        seeds: Seeds, separated by spaces.
        classifier_seeds: Seeds of recognisers with masks, separated by spaces.
    """
    models = {
        "random": "random",
        "own": own,
        **read_yaml(start_models, "give each start a model, as in conf/starts.yaml"),
    }
    known = read_systems(systems)
    chosen, varied = starts.split(), variants.split()
    check(chosen, models, f"a start; {start_models} and --starts know")
    check([variant_start], models, f"a start; {start_models} and --variant-start know")
    check(varied, known, f"a variant; {systems} has")
    asked = {
        (start, variant, seed): None
        for seed in seeds.split()
        for start in chosen
        for variant in ["plain", *(varied if start == variant_start and seed in classifier_seeds.split() else [])]
    }
    for start, variant, seed in asked:
        masks = "mapped" if known[variant].methods else "masked" if known[variant].masked else "none"
        print(start, variant, seed, masks, shlex.quote(str(models[start])))


def check(asked: list[str], known: Mapping[str, Any], what: str) -> None:
    """Raise an InputError for a name that is unknown or asked for twice."""
    for name in asked:
        if name not in known:
            raise InputError(f"{name!r} is not {what}: {', '.join(known)}")
        if asked.count(name) > 1:
            raise InputError(f"{name} is asked for twice; leave one out")


if __name__ == "__main__":
    program.main(list_recognisers)
