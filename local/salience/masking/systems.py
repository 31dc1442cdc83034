"""Systems of a recipe, one line of YAML each: what a recogniser is trained on, and where its masks lie.

    plain: {}
    gradcam: {map: gradcam, policy: probabilistic}
    random-mask: {map: random, policy: {equal-area: gradcam}}
    other-mask: {map: other-utterance, of: gradcam, policy: {equal-area: gradcam}}
    gradient-input: {map: gradient-input, classifier: whisper-encoder, policy: probabilistic}

`policy` is a name in POLICIES, with its settings or the first of them behind
a colon.  `map` is a method in METHODS, or `other-utterance`: another
utterance's map by the method `of`.  `classifier` says which classifier they
are maps of, where a recipe has several and it is not the first.  `fill` says what a masked point becomes.
`trained: false` is the model that fine-tuning starts from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.files import read_yaml
from salience.masking.policies import POLICIES, NoPolicy, Policy

OTHER = "other-utterance"

FILLS = ("zero", "floor", "mean")


@dataclass(frozen=True)
class System:
    """What one recogniser is trained on.

    Args:
        trained: Whether anything is trained; false is the model that the others start from.
        map: Saliency method of its maps, CLASSIFIER/METHOD in a recipe of several; "" where the masks come from none.
        borrowed: Take another utterance's map, stretched.
        policy: How a map becomes a mask.
        kind: The policy's name in POLICIES.
        fill: What a masked point becomes: `zero` (equation 3; in Whisper's scale a mid grey), `floor` (the
            utterance's own silence) or `mean` (its mean).
        other: The system that the policy compares with.
    """

    trained: bool = True
    map: str = ""
    borrowed: bool = False
    policy: Policy = field(default_factory=NoPolicy)
    kind: str = "none"
    fill: str = "zero"
    other: "System | None" = None

    @property
    def masked(self) -> bool:
        """Whether anything is masked."""
        return not isinstance(self.policy, NoPolicy)

    @property
    def policies(self) -> list[type[Policy]]:
        """Its policy's class and those of the systems that it compares with."""
        return [type(self.policy), *(self.other.policies if self.other else [])]

    @property
    def methods(self) -> list[str]:
        """Saliency methods whose maps the masks need."""
        own = [self.map] if self.map else []
        return list(dict.fromkeys(own + (self.other.methods if self.other else [])))


def read_systems(path: Path, classifier: str = "") -> dict[str, System]:
    """All systems of a file, in its order; whatever is wrong with a line is an InputError that names it.

    classifier: whose maps a system takes that names no classifier; "" where maps are found by their method alone.
    """
    lines = read_yaml(path, "give a file of systems, such as a recipe's conf/systems.yaml")
    if not isinstance(lines, dict):
        raise InputError(f"{path} holds no systems; write one a line, for instance 'plain: {{}}'")
    found: dict[str, System] = {}
    for name in lines:
        _system(str(name), lines, found, path, (), classifier)
    return {str(name): found[str(name)] for name in lines}


def read_system(path: Path, name: str, classifier: str = "") -> System:
    """One system of a file; an unknown name is an InputError that lists those there are."""
    known = read_systems(path, classifier)
    if name not in known:
        raise InputError(f"there is no system {name!r} in {path}; there are: {', '.join(known)}")
    return known[name]


def asked_systems(path: Path, only: str, classifier: str = "") -> dict[str, System]:
    """Those systems of a file that are asked for, separated by spaces."""
    known = read_systems(path, classifier)
    asked = only.split()
    for name in asked:
        if name not in known:
            raise InputError(f"there is no system {name!r} in {path}; there are: {', '.join(known)}")
        if asked.count(name) > 1:
            raise InputError(f"the system {name} is asked for twice; leave one out")
    return {name: known[name] for name in asked}


def _system(
    name: str, lines: Mapping[str, Any], found: dict[str, System], path: Path, above: tuple[str, ...], classifier: str
) -> System:
    """The system of a name, which other lines may need before its own turn."""
    if name in found:
        return found[name]
    if name not in lines:
        raise InputError(f"{path}: the system {above[-1]} names the system {name!r}, which is not there; add it")
    if name in above:
        raise InputError(f"{path}: the systems {' and '.join(above)} each need the mask of another; correct one")
    try:
        settings = dict(lines[name] or {})
        kind, policy = _policy(settings.pop("policy", "none"))
        method, of = str(settings.pop("map", "")), str(settings.pop("of", ""))
        if (method == OTHER) != bool(of):
            raise InputError(f"`map: {OTHER}` and `of: METHOD` go together")
        folder = str(settings.pop("classifier", classifier))
        place = f"{folder}/{of or method}" if folder and method else of or method
        rest = {"trained": bool, "fill": str}
        for key, value in settings.items():
            if key not in rest or not isinstance(value, rest[key]):
                raise InputError(
                    f"`{key}: {value}` is unknown; there are trained, map, of, classifier, policy and fill"
                )
        if settings.get("fill", "zero") not in FILLS:
            raise InputError(f"the fill {settings['fill']!r} is unknown; it is zero, floor or mean")
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the system {name}: {error}") from None
    other = _system(policy.of, lines, found, path, (*above, name), classifier) if policy.of else None
    found[name] = System(map=place, borrowed=method == OTHER, policy=policy, kind=kind, other=other, **settings)
    return found[name]


def _policy(given: Any) -> tuple[str, Policy]:
    """The name and the policy that `given` says: a name, or a name with settings, or with the first of them."""
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, dict) or len(given) != 1:
        raise InputError(f"`policy: {given}` is not a policy; write its name, or {{name: settings}}")
    ((name, settings),) = given.items()
    kind = POLICIES[str(name)]
    if not isinstance(settings, dict):
        first = fields(kind)
        if not first:
            raise InputError(f"the policy {name} has no settings")
        settings = {first[0].name: settings}
    return str(name), _built(kind, settings)


def _built(kind: type[Policy], settings: dict[str, Any]) -> Policy:
    """A policy with these settings, each checked against its type."""
    # Imported here, with what only programs need.
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "policy", sub_configs=False)
    try:
        return parser.instantiate(parser.parse_object({"policy": settings})).policy
    except jsonargparse.ArgumentError as error:
        raise InputError(" ".join(str(error).split())) from None
