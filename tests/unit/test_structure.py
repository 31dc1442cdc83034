"""Sizes that keep the house readable: thin programs, short functions, nothing twice."""

import re
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = [*TOP.glob("local/*.py"), *TOP.glob("egs/*/local/*.py")]
SHELL = [TOP / "run.sh", TOP / "path.sh", TOP / ".ci/run", *TOP.glob("tests/run.sh")]
SHELL += [path for folder in ("conf", "utils", "local", "egs") for path in (TOP / folder).rglob("*.sh")]
MAX_PROGRAM, MAX_FUNCTION, MAX_SHARED = 120, 25, 9


def shown(path: Path) -> str:
    return str(path.relative_to(TOP))


def test_a_program_is_one_step():
    long = {shown(path): count for path in PROGRAMS if (count := len(path.read_text().splitlines())) > MAX_PROGRAM}
    assert not long, "move logic into the library"
    classes = {shown(path) for path in PROGRAMS if re.search(r"^\s*class ", path.read_text(), re.MULTILINE)}
    assert not classes, "a class belongs into the library, with a test of its own"


def test_functions_of_the_shell_are_short():
    long = {}
    for path in SHELL:
        for found in re.finditer(r"^([a-z_]\w*)\(\) \{.*?(?:\}$|^\})", path.read_text(), re.MULTILINE | re.DOTALL):
            lines = found[0].count("\n") + 1
            if lines > MAX_FUNCTION:
                long[f"{shown(path)}:{found[1]}"] = lines
    assert not long


def code_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of the lines that say something: no blanks, comments, imports or lone punctuation."""
    lines = enumerate((line.strip() for line in path.read_text().splitlines()), 1)
    return [pair for pair in lines if re.search(r"\w", pair[1]) and not re.match(r"#|import |from ", pair[1])]


def test_nothing_stands_in_two_files():
    places = defaultdict(set)
    for path in (path for folder in ("local", "utils", "egs") for path in (TOP / folder).rglob("*")):
        if path.suffix not in (".py", ".sh", ".pl") or path.is_symlink():
            continue
        lines = code_lines(path)
        for start in range(len(lines) - MAX_SHARED):
            part = lines[start : start + MAX_SHARED + 1]
            places["\n".join(text for _, text in part)].add((shown(path), part[0][0]))
    twice = {" ".join(sorted({name for name, _ in found})): sorted(found) for found in places.values()}
    assert not {names: found for names, found in twice.items() if " " in names}
