"""Registries: where methods, policies and recognisers are found by name, and how a user adds his own."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from salience.errors import InputError

T = TypeVar("T")
_PREFIX = "salience_plugin_"


class Registry(dict[str, T]):
    """A dictionary whose unknown names are an InputError that lists the known ones.

    Args:
        what: What an entry is, as the error calls it, for instance `saliency method`.
        modules: Modules by the name of the entry that importing them registers, for entries whose imports take long.
    """

    def __init__(self, what: str, modules: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.what = what
        self.modules = dict(modules or {})

    def __missing__(self, name: str) -> T:
        if name in self.modules:
            importlib.import_module(self.modules[name])
            return dict.__getitem__(self, name)
        self.check(name)
        raise KeyError(name)

    def check(self, name: str) -> None:
        """Raise an InputError for an unknown name, without importing what a known one stands for."""
        if name not in self.names():
            raise InputError(f"there is no {self.what} {name!r}; there are: {', '.join(self.names())}")

    def names(self) -> list[str]:
        """List all names, also of entries whose modules are not imported yet."""
        return sorted({*self, *self.modules})

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate a function or class to enter it under `name`; a name that is taken is an InputError."""

        def enter(entry: T) -> T:
            if name in self or self.modules.get(name, entry.__module__) != entry.__module__:
                raise InputError(f"there are two entries for the {self.what} {name!r}; rename one")
            self[name] = entry
            return entry

        return enter


def plugin_files() -> list[Path]:
    """The Python files in SALIENCE_PLUGINS, which has os.pathsep between them."""
    return [Path(name) for name in os.environ.get("SALIENCE_PLUGINS", "").split(os.pathsep) if name]


def plugins_of(*entries: object) -> list[Path]:
    """The plug-in files that these functions and classes come from, on which a step's outputs depend."""
    modules = {getattr(entry, "__module__", "") for entry in entries}
    return [Path(str(sys.modules[name].__file__)) for name in sorted(modules) if name.startswith(_PREFIX)]


def load_plugins() -> None:
    """Import each of `plugin_files` once; what it registers is then found by name."""
    for path in plugin_files():
        name = _PREFIX + path.stem
        if name in sys.modules:
            continue
        if not path.is_file():
            raise InputError(f"{path} does not exist; correct --plugins")
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
