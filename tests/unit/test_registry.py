"""Registries and plug-ins."""

import os
import sys

import pytest

from salience.errors import InputError
from salience.registry import Registry, load_plugins


def test_an_unknown_name_is_told_with_the_known_ones():
    shapes = Registry("shape")
    shapes.register("round")(len)
    assert shapes["round"] is len
    with pytest.raises(InputError, match="there is no shape 'square'; there are: round"):
        shapes["square"]
    with pytest.raises(InputError, match="two entries for the shape 'round'"):
        shapes.register("round")(max)


def test_plugins_are_imported_once(tmp_path, monkeypatch):
    one = tmp_path / "one.py"
    one.write_text("import sys\nsys.counted = getattr(sys, 'counted', 0) + 1\n")
    monkeypatch.setenv("SALIENCE_PLUGINS", os.pathsep.join([str(one)]))
    load_plugins()
    load_plugins()
    assert sys.counted == 1
    monkeypatch.setenv("SALIENCE_PLUGINS", str(tmp_path / "none.py"))
    with pytest.raises(InputError, match=r"none\.py does not exist; correct --plugins"):
        load_plugins()
