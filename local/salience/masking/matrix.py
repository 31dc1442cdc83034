"""A matrix: saliency methods x masking policies x recognisers, in one file of YAML.

    methods: [gradcam, integrated-gradients]
    policies: {probabilistic: probabilistic, top-share: {top-share: 0.1}}
    recognisers:
      whisper: {model: tiny.en, beside: [zero-shot, plain]}
      hybrid: {kind: espnet, model: hybrid.yaml, beside: [plain]}
    named: {Sameti et al. (2025): {method: gradcam, policy: probabilistic, recogniser: whisper}}

Each method with each policy is a system, METHOD.POLICY, of which every
recogniser is trained; `beside` are systems of the recipe's systems.yaml that
it has as well.  What a system's line says of a map (`map`, `of`,
`classifier`) may follow a method's name, and what it says as `policy` a
policy's; systems of keyword networks have lines of their own (AXES).  `kind`
is a name in RECOGNISERS, if the recogniser's own is not; `model` and
`finetune`, the settings of its training, are looked for beside this file
first.  `named` are cells that a paper's system is in.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from salience.errors import InputError
from salience.files import read_yaml
from salience.masking.policies import POLICIES
from salience.masking.systems import read_systems
from salience.models.recognisers import RECOGNISERS
from salience.registry import Registry
from salience.saliency.base import METHODS

EXAMPLE = "give a file such as egs/fsdd/conf/matrix.yaml"


class Axes(Protocol):
    """What the entries of a matrix say in the lines of a recogniser's systems."""

    @staticmethod
    def of_method(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """The part of a system's line that says which map; an unknown one is an InputError."""

    @staticmethod
    def of_policy(name: str, entry: Any) -> dict[str, Any]:
        """The part of a system's line that says what the map does; an unknown policy is an InputError."""

    @staticmethod
    def read(path: Path) -> Collection[str]:
        """The names of the systems in a file; a line that cannot be read is an InputError."""


AXES: Registry[type[Axes]] = Registry("kind of system", {"keyword": "salience.training.keyword_systems"})
"""By the kind of the recognisers that take such systems; all others take MaskedFeatures."""


class MaskedFeatures:
    """Systems of masked features (masking/systems.py)."""

    @staticmethod
    def of_method(name: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """A method of METHODS, or a map with further words, such as `{map: other-utterance, of: gradcam}`."""
        line = {"map": name, **(entry or {})}
        METHODS.check(str(line.get("of", line["map"])))
        return line

    @staticmethod
    def of_policy(name: str, entry: Any) -> dict[str, Any]:
        """A policy of POLICIES, by its name or with its settings."""
        policy = entry or name
        POLICIES.check(next(iter(policy)) if isinstance(policy, dict) else str(policy))
        return {"policy": policy}

    @staticmethod
    def read(path: Path) -> Collection[str]:
        """The names of the systems in a file."""
        return read_systems(path)


@dataclass(frozen=True)
class Trained:
    """A recogniser of a matrix.

    Args:
        kind: Its name in RECOGNISERS.
        model: What its trainings start from.
        finetune: Settings of its trainings; the recipe's own, if empty.
        beside: Systems of the recipe that it has beside those of the matrix.
    """

    kind: str
    model: str
    finetune: str = ""
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """Methods, policies and recognisers by name, each method and policy with its part of a system's line.

    Args:
        methods: Keyword arguments of a system that say which map.
        policies: Keyword arguments of a system that say how it becomes a mask.
        recognisers: Recognisers.
        axes: What their systems are.
        named: What a cell (recogniser, system) is called.
    """

    methods: Mapping[str, dict[str, Any]]
    policies: Mapping[str, dict[str, Any]]
    recognisers: Mapping[str, Trained]
    axes: type[Axes] = MaskedFeatures
    named: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def systems(self) -> dict[str, dict[str, Any]]:
        """The line of each system in systems.yaml."""
        return {
            f"{method}.{policy}": {**of_map, **of_mask}
            for method, of_map in self.methods.items()
            for policy, of_mask in self.policies.items()
        }

    @property
    def cells(self) -> dict[tuple[str, str], dict[str, str | None]]:
        """What result rows say of each (recogniser, system): method, policy and the cell's name."""
        found: dict[tuple[str, str], dict[str, str | None]] = {}
        for recogniser, trained in self.recognisers.items():
            for system in trained.beside:
                found[recogniser, system] = {"method": system, "policy": None, "cell": None}
            for method in self.methods:
                for policy in self.policies:
                    place = recogniser, f"{method}.{policy}"
                    found[place] = {"method": method, "policy": policy, "cell": self.named.get(place)}
        return found


def read_matrix(path: Path) -> Matrix:
    """Read a matrix; whatever is wrong in the file is an InputError that names it."""
    given = read_yaml(path, EXAMPLE)
    try:
        parts = _keys(given, "the file", needed=("methods", "policies", "recognisers"), other=("named",))
        recognisers = {
            name: _recogniser(name, line or {}, path.parent) for name, line in _listed(parts, "recognisers").items()
        }
        axes = _axes_of(recognisers)
        methods = {name: axes.of_method(name, line) for name, line in _listed(parts, "methods").items()}
        policies = {name: axes.of_policy(name, line) for name, line in _listed(parts, "policies").items()}
        entries = {"method": methods, "policy": policies, "recogniser": recognisers}
        named = {}
        for title, cell in (parts.get("named") or {}).items():
            place = _keys(cell, f"the cell {title!r}", needed=tuple(entries))
            for axis, known in entries.items():
                if place[axis] not in known:
                    raise InputError(
                        f"the cell {title!r} names the {axis} {place[axis]!r}, which the matrix has not; it has"
                        f" {', '.join(known)}"
                    )
            named[place["recogniser"], f"{place['method']}.{place['policy']}"] = title
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Matrix(methods, policies, recognisers, axes, named)


def _axes_of(recognisers: Mapping[str, Trained]) -> type[Axes]:
    found = {one.kind: AXES[one.kind] if one.kind in AXES.names() else MaskedFeatures for one in recognisers.values()}
    if len(set(found.values())) > 1:
        raise InputError(f"recognisers of the kinds {', '.join(found)} take different systems; give each a matrix")
    return next(iter(found.values()))


def _keys(given: Any, what: str, needed: tuple[str, ...], other: tuple[str, ...] = ()) -> dict[str, Any]:
    """A mapping that has these keys and no further ones."""
    if not isinstance(given, dict):
        raise InputError(f"{what} holds no {', '.join(needed)}; {EXAMPLE}")
    for name in needed:
        if not given.get(name):
            raise InputError(f"{what} has no {name}; add it")
    for name in given:
        if name not in needed + other:
            raise InputError(f"{what} has the unknown key {name!r}; it takes {', '.join(needed + other)}")
    return given


def _listed(parts: Mapping[str, Any], axis: str) -> dict[str, Any]:
    """The entries of an axis, given as a mapping or, where names say it all, as a list."""
    given = parts[axis]
    found = {str(name): None for name in given} if isinstance(given, list) else given
    if not isinstance(found, dict) or (isinstance(given, list) and len(found) < len(given)):
        raise InputError(f"{axis}: {given!r} is neither a mapping nor a list of different names; correct it")
    for name in found:
        if not set(str(name)).isdisjoint("/. "):
            raise InputError(f"{axis}: the name {name!r} has a slash, a dot or a space; rename it")
    return found


def _recogniser(name: str, given: Any, folder: Path) -> Trained:
    line = _keys({"kind": name, **given}, f"the recogniser {name}", ("kind", "model"), ("finetune", "beside"))
    RECOGNISERS.check(line["kind"])
    model, finetune = (_beside(folder, str(line.get(key, ""))) for key in ("model", "finetune"))
    return Trained(line["kind"], model, finetune, tuple(line.get("beside") or ()))


def _beside(folder: Path, name: str) -> str:
    """A file of the folder by its whole path; anything else as it is."""
    return str((folder / name).resolve()) if name and (folder / name).is_file() else name
