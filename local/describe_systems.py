#!/usr/bin/env python3
"""What the systems that a recipe is asked for need, as variables of the shell."""

import shlex
from pathlib import Path, PurePath

from salience import program
from salience.errors import InputError
from salience.masking.systems import asked_systems, read_systems
from salience.saliency.base import METHODS
from salience.training.classifiers import CLASSIFIERS


def describe_systems(systems: Path, only: str, methods: str = "", classifiers: str = "") -> None:
    """Print assignments: untrained, trained, masked and mapped systems, classifiers and saliency methods.

    `mapped` are systems whose masks come from maps, `mask_methods` the methods
    of those maps, and `methods` these with the further ones; where there are
    classifiers, each is CLASSIFIER/METHOD, and `classifiers` are those and the
    others asked for, if any map is needed; without any it is not assigned.

    Args:
        systems: The recipe's systems.yaml.
        only: The systems that are asked for, separated by spaces.
        methods: Further saliency methods whose maps are wanted; one of another classifier than the first is
            CLASSIFIER/METHOD.
        classifiers: Accent classifiers, separated by spaces; systems that name none take the maps of the first.
    """
    kinds = classifiers.split()
    first = kinds[0] if kinds else ""
    asked = asked_systems(systems, only, first)
    if not asked:
        raise InputError(f"--systems needs at least one of those in {systems}: {', '.join(read_systems(systems))}")
    mapped = [name for name, system in asked.items() if system.methods]
    needed = dict.fromkeys(method for name in mapped for method in asked[name].methods)
    further = (name if "/" in name or not first else f"{first}/{name}" for name in methods.split())
    wanted = needed | dict.fromkeys(further)
    for place in wanted:
        METHODS.check(PurePath(place).name)
    kinds = (
        list(dict.fromkeys((*kinds, *(str(PurePath(place).parent) for place in wanted)))) if wanted and first else []
    )
    for kind in kinds:
        CLASSIFIERS.check(kind)
    variables = {
        "untrained": [name for name, system in asked.items() if not system.trained],
        "trained": [name for name, system in asked.items() if system.trained],
        "masked": [name for name, system in asked.items() if system.masked],
        "mapped": mapped,
        "mask_methods": needed,
        "methods": wanted,
    }
    if first:  # a recipe without accent classifiers may use the name for something else
        variables["classifiers"] = kinds
    for name, words in variables.items():
        print(f"{name}={shlex.quote(' '.join(words))}")


if __name__ == "__main__":
    program.main(describe_systems)
