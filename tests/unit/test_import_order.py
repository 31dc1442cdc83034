"""The library's modules import from those before them in the order of the data flow, and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "local" / "salience"
ORDER = (
    "errors", "files", "progress", "randomness", "registry", "specifiers", "audio", "data", "program", "corpora",
    "collection", "features", "models", "saliency", "masking", "training", "decoding", "scoring", "report",
)  # fmt: skip
BESIDE = {"steps": "data"}
"""The records of steps read tables, and data directories of signals are steps."""

KNOWN_VIOLATIONS: set[tuple[str, str]] = set()
"""Pairs (importing module, imported module) that are still to be turned round; none may be added."""


class Imports(ast.NodeVisitor):
    """The modules that a file imports anywhere in it, but for those that only type checkers see."""

    def __init__(self, path: Path) -> None:
        self.found: set[str] = set()
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}


def modules() -> dict[str, set[str]]:
    """Each module of the library to the library's modules that it imports."""
    paths = {
        ".".join(("salience", *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in LIBRARY.rglob("*.py")
    }
    return {name: (Imports(path).found & paths.keys()) - {"salience"} for name, path in paths.items()}


def place(module: str) -> int:
    """Where a module stands in the order; a part of the library that has no place in it is a mistake."""
    part = module.split(".")[1]
    return ORDER.index(BESIDE.get(part, part))


def test_modules_import_only_from_those_before_them() -> None:
    wrong = {
        (module, other)
        for module, imported in modules().items()
        for other in imported
        if module != "salience" and place(other) > place(module)
    }
    assert wrong == KNOWN_VIOLATIONS


def test_no_modules_import_each_other() -> None:
    graph = {name: imported - {name} for name, imported in modules().items()}
    # Raises CycleError, which names the modules, if there is a circle.
    TopologicalSorter(graph).prepare()
