"""A keyword recipe's systems: how recognisers are trained on from their baselines, read from conf/systems.yaml."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salience.errors import InputError, stale
from salience.files import read_json, read_yaml
from salience.masking.matrix import AXES
from salience.saliency.base import METHODS


@dataclass(frozen=True)
class KeywordSystem:
    """One line of systems.yaml.

    Args:
        augmentation: Settings of `Augmentation`; a list in place of one value makes a family of systems.
        choose: Of a family, one member is chosen on dev, and stands for the family in the tables.
        max_seeds: At most this many of the seeds are trained (default: all).
        generator: Kind of recogniser that the generator of the masks was trained with, or `own`.
        map: Saliency method whose maps of the baseline make the masks, instead of a generator: M = 1 - C.
    """

    augmentation: Mapping[str, Any]
    choose: bool = False
    max_seeds: int | None = None
    generator: str = "paper"
    map: str = ""

    @property
    def masked(self) -> bool:
        return self.augmentation.get("masks", "none") != "none"

    def masks_of(self, kind: str) -> str:
        """Where its masks are found, in a recipe of this kind of recogniser: <kind>, or <kind>/<method>; or `-`."""
        if not self.masked:
            return "-"
        return f"{kind}/{self.map}" if self.map else kind if self.generator == "own" else self.generator

    def members(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each member's name and augmentation; a system without a list is the only member of its family."""
        varied = next((key for key, value in self.augmentation.items() if isinstance(value, list)), None)
        if varied is None:
            yield name, dict(self.augmentation)
            return
        for value in self.augmentation[varied]:
            yield f"{name}-{value:g}", {**self.augmentation, varied: value}


@dataclass(frozen=True)
class Training:
    """One recogniser to be trained: a system with a seed.

    Args:
        name: The system.
        seed: Its seed.
        system: The line of systems.yaml that it is of.
        augmentation: Its settings.
        swept: Whether one of its family is chosen, it being among those compared.
        chosen: Whether it is that one.
    """

    name: str
    seed: int
    system: KeywordSystem
    augmentation: dict[str, Any]
    swept: bool
    chosen: bool


def read_keyword_systems(path: Path, only: Sequence[str] | None = None) -> dict[str, KeywordSystem]:
    """Read the systems named in `only`, in that order, or all; an unknown or repeated name is an InputError."""
    table = read_yaml(path, "give each system its augmentation, as in egs/gsc_v2/conf/systems.yaml")
    found = {}
    for name in table if only is None else only:
        if name not in table:
            raise InputError(f"{path} has no system {name!r}; it has: {', '.join(table)}")
        if name in found:
            raise InputError(f"the system {name} is asked for twice; leave one out")
        try:
            found[name] = KeywordSystem(**table[name])
            if found[name].map:
                METHODS.check(found[name].map)
        except (InputError, TypeError) as error:
            raise InputError(f"{path}: the system {name} cannot be read ({error}); correct it") from None
    return found


@AXES.register("keyword")
class NoiseThroughMasks:
    """A matrix's systems: noise through masks, which a generator makes or a saliency method."""

    @staticmethod
    def of_method(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """A method of METHODS, or with words of its own such as `{generator: own}`."""
        line = dict(entry or {})
        if "generator" not in line:
            METHODS.check(line.setdefault("map", name))
        return line

    @staticmethod
    def of_policy(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """Settings of `Augmentation` beside noise through a clip's own mask, such as `{everywhere: 0, percent: 10}`."""
        if entry is not None and not isinstance(entry, Mapping):
            raise InputError(f"the policy {name} is {entry!r}; give it settings such as {{percent: 10}}, or none")
        return {"augmentation": {"method": "noise", "masks": "own", **(entry or {})}}

    @staticmethod
    def read(path: Path) -> Collection[str]:
        """The names of the systems in a file but for families, of which each member would be a cell."""
        return [name for name, one in read_keyword_systems(path).items() if len(list(one.members(name))) == 1]


def trainings(systems: Mapping[str, KeywordSystem], seeds: Sequence[int], models: Path) -> list[Training]:
    """List what is trained in `models`, seed by seed, with the chosen members of families that are trained."""
    chosen = {
        family: choose_member([name for name, _ in system.members(family)], seeds[: system.max_seeds], models)
        for family, system in systems.items() if system.choose
    }  # fmt: skip
    listed = []
    for seed in seeds:
        for family, system in systems.items():
            asked = seed in seeds[: system.max_seeds]
            for name, augmentation in system.members(family):
                is_chosen = chosen.get(family) == name
                if asked or is_chosen:
                    listed.append(Training(name, seed, system, augmentation, system.choose and asked, is_chosen))
    return listed


def choose_member(members: Sequence[str], seeds: Sequence[int], models: Path) -> str | None:
    """Choose the member with the lowest dev error, averaged over seeds, of two the later; None until all are trained.

    The error is that of the epoch that each training kept, the one with the
    lowest dev loss.
    """
    histories = {name: [models / name / f"seed{seed}" / "history.json" for seed in seeds] for name in members}
    if not all(path.exists() for paths in histories.values() for path in paths):
        return None
    errors = {name: float(np.mean([_kept_error(path) for path in paths])) for name, paths in histories.items()}
    return min(reversed(errors), key=errors.__getitem__)


def _kept_error(history: Path) -> float:
    scores = [entry for entry in read_json(history) if "eval_dev_loss" in entry]
    if not scores:
        raise stale(history, "holds no dev score")
    return float(min(scores, key=lambda entry: entry["eval_dev_loss"])["eval_dev_error"])
