"""Functions of the project's shell take what they work on as words, not from a local variable of their caller."""

import re
from pathlib import Path

from corpora_helpers import TOP


def functions(text: str) -> dict[str, str]:
    """Each function of a script that begins and ends a line, by name."""
    found = re.finditer(r"^( *)(\w+)\(\) [{(](?:[^\n]*[})] *(?:#[^\n]*)?$|.*?^\1[})])", text, re.M | re.S)
    return {match[2]: match[0] for match in found}


def test_functions_of_a_script_are_found():
    script = "a() { # one line\n    echo '}'\n}\nb() { echo; } # c\nif x; then\n    d() (\n        :\n    )\nfi\n"
    assert {name: body.count("\n") + 1 for name, body in functions(script).items()} == {"a": 3, "b": 1, "d": 3}


def test_functions_read_no_local_variable_of_their_caller():
    for recipe in TOP.glob("egs/*/run.sh"):
        text = re.sub(r"(?m)(^|\s)#.*", "", with_sourced(recipe, recipe.parent))
        bodies = functions(text)
        outside = text
        for body in bodies.values():
            outside = outside.replace(body, "")
        assigned = set(re.findall(r"\b(\w+)\+?=|\bfor (\w+) in|\bread -r ([\w ]+)", outside))
        shared = {word for groups in assigned for group in groups for word in group.split()}
        local = {name: locals_of(body) for name, body in bodies.items()}
        for name, body in bodies.items():
            read = set(re.findall(r"\$\{?[!#]?([a-z_]\w*)", re.sub(r"'[^']*'", "", body)))
            foreign = {
                word: [other for other in local if other != name and word in local[other]]
                for word in read - local[name] - shared
            }
            assert not {word: others for word, others in foreign.items() if others}, (recipe.parent.name, name)


def with_sourced(script: Path, folder: Path) -> str:
    """A script in whose place of a line `. other.sh` that file stands; from the recipe's folder or one of PATH."""

    def content(match: re.Match) -> str:
        named = match[1].replace("$SALIENCE_ROOT", str(TOP))
        places = [place / named for place in (folder, TOP / "local", TOP / "utils")]
        return next((with_sourced(place, folder) for place in places if place.is_file()), "")

    return re.sub(r'(?m)^ *\. "?([^\s"]+)"?', content, script.read_text())


def locals_of(body: str) -> set[str]:
    declared = " ".join(re.findall(r"\blocal ([^;|&]*?)(?:$|;|&&|\|\|)", body, re.M))
    return set(re.findall(r"(?:^|\s)([a-z_]\w*)(?==|\s|$)", declared))
