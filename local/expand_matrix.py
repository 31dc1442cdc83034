#!/usr/bin/env python3
"""What a matrix of methods, policies and recognisers needs: its systems as a file, and variables of the shell."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from salience import program
from salience.errors import InputError
from salience.files import whole_file
from salience.masking.matrix import read_matrix


def expand_matrix(matrix: Path, systems: Path, out: Path) -> None:
    """Write OUT, the recipe's systems and those of the matrix, and print assignments.

    `systems` are those that any recogniser has, `recognisers` the names of
    these, `cells` RECOGNISER/SYSTEM; `kind_of`, `model_of` and `finetune_of`
    are arrays by the recogniser's name, and `size` says how large it all is.

    Args:
        matrix: The matrix, such as conf/matrix.yaml.
        systems: The recipe's systems.yaml.
        out: The file to write.
    """
    wanted = read_matrix(matrix)
    known = wanted.axes.read(systems)
    for name, recogniser in wanted.recognisers.items():
        for system in recogniser.beside:
            if system not in known:
                raise InputError(
                    f"{matrix}: the recogniser {name} has the system {system!r} beside, which {systems} does not have;"
                    f" it has: {', '.join(known)}"
                )
    with whole_file(out) as handle:
        handle.write(systems.read_text(encoding="utf-8") + "\n")
        handle.writelines(f"{name}: {json.dumps(line)}\n" for name, line in wanted.systems.items())
    wanted.axes.read(out)
    size = " x ".join(str(len(axis)) for axis in (wanted.methods, wanted.policies, wanted.recognisers))
    variables = {
        "systems": dict.fromkeys(system for _, system in wanted.cells),
        "recognisers": wanted.recognisers,
        "cells": ["/".join(cell) for cell in wanted.cells],
        "size": [f"methods x policies x recognisers = {size}"],
    }
    for name, words in variables.items():
        print(f"{name}={shlex.quote(' '.join(words))}")
    for part in ("kind", "model", "finetune"):
        print(f"declare -A {part}_of=({_words({n: getattr(one, part) for n, one in wanted.recognisers.items()})})")


def _words(values: Mapping[str, str]) -> str:
    return " ".join(f"[{shlex.quote(name)}]={shlex.quote(value)}" for name, value in values.items())


if __name__ == "__main__":
    program.main(expand_matrix)
