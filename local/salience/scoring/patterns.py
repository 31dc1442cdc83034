"""Patterns of paths: in `$exp/{system}/seed{seed}/{set}`, `$exp` is filled in by the run, placeholders are matched.

`{seed:1 2}` stands for 1 and 2 only, not for what an earlier run left.
"""

import re
from collections.abc import Mapping
from glob import escape, glob
from pathlib import Path
from string import Template
from typing import Any

from salience.errors import RERUN, InputError

PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def fill(pattern: str, values: Mapping[str, str]) -> str | None:
    """Put a run's values into a pattern; None if one of its places has none.

    Args:
        pattern: The pattern.
        values: What stands in the place of `$name`.  A placeholder `{name}` of a name that has a value, and no list of
            its own, stands for the words of this value only.
    """
    filled = substituted(pattern, values)
    return filled and PLACEHOLDER.sub(
        lambda found: f"{{{found[1]}:{values[found[1]]}}}" if found[2] is None and found[1] in values else found[0],
        filled,
    )


def substituted(text: str, values: Mapping[str, str]) -> str | None:
    """Put a run's values into the places `$name` of a text; None if one of them has none."""
    try:
        return Template(text).substitute(values)
    except KeyError:
        return None


def names(pattern: str) -> list[str]:
    """The placeholders of a pattern."""
    return list(dict.fromkeys(match[1] for match in PLACEHOLDER.finditer(pattern)))


def matches(pattern: str) -> list[tuple[dict[str, str], Path]]:
    """Paths that match a pattern without `$`, with what each placeholder stands for."""
    parts = PLACEHOLDER.split(pattern)
    wildcard = "*".join(escape(part) for part in parts[::3])
    expression, seen = re.escape(parts[0]), set()
    for name, values, literal in zip(parts[1::3], parts[2::3], parts[3::3]):
        one_of = "[^/]+" if values is None else "|".join(map(re.escape, _words(values))) or "(?!)"
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>{one_of})"
        expression += re.escape(literal)
        seen.add(name)
    found = ((re.fullmatch(expression, path), Path(path)) for path in sorted(glob(wildcard)))
    return [(match.groupdict(), path) for match, path in found if match]


def _words(values: str) -> list[str]:
    return [value for value in re.split(r"[|\s]+", values) if value]


def find(pattern: str) -> list[tuple[dict[str, str], Path]]:
    """What `matches` finds; nothing at all is an InputError."""
    found = matches(pattern)
    if not found:
        raise InputError(f"nothing matches {pattern}; {RERUN}", Path(pattern))
    return found


def split(pattern: str, *wanted: str) -> list[tuple[dict[str, Any], str]]:
    """What the named placeholders stand for, and the pattern with that put in.

    `split("{snr}/{set}", "snr")` may be [({"snr": "clean"}, "clean/{set}"),
    ({"snr": 20}, "20/{set}")].  The order is that of a placeholder's list;
    where it has none, words come first, then numbers, and of an SNR the
    highest.  A pattern without such placeholders is handed back as it is.
    """
    listed = {match[1]: match[2] for match in PLACEHOLDER.finditer(pattern) if match[1] in wanted}
    if not listed:
        return [({}, pattern)]
    parts = {}
    for fields, _ in matches(pattern):
        filled = PLACEHOLDER.sub(lambda found, of=fields: of[found[1]] if found[1] in listed else found[0], pattern)
        parts[filled] = {name: fields[name] for name in listed}

    def place(name: str, text: str) -> tuple[int, str, float]:
        if listed[name] is not None:
            return _words(listed[name]).index(text), "", 0.0
        value = number(text)
        return (0, value, 0.0) if isinstance(value, str) else (1, "", -value if name == "snr" else value)

    ordered = sorted(parts.items(), key=lambda part: [place(*item) for item in part[1].items()])
    return [({name: number(text) for name, text in values.items()}, filled) for filled, values in ordered]


def number(text: str) -> int | float | str:
    """A number as such, any other text as it is."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text


def only_seeds(text: str) -> dict[str, list[int]]:
    """The seeds of each system from words such as `baseline/1 baseline/2 null/1`."""
    found: dict[str, list[int]] = {}
    for word in text.split():
        system, _, seed = word.rpartition("/")
        if not system or not seed.isdecimal():
            raise InputError(f"--only has {word!r}; give words such as baseline/1, a system and a seed")
        found.setdefault(system, []).append(int(seed))
    return found
