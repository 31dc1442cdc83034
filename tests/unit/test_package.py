"""The library as a package that pip installs, and what it costs to import it."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import salience

TOP = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]


def python(code: str, *options: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_salience_imports_nothing_heavy():
    code = f"import sys; sys.path.insert(0, {str(TOP / 'local')!r}); import salience; print(*sys.modules)"
    imported = {name.split(".")[0] for name in python(code, "-I").split()}
    assert "salience" in imported
    assert not imported & {"torch", "transformers", "matplotlib", "numpy", "scipy", "soundfile", "whisper", "yaml"}


@pytest.mark.parametrize("name", salience.__all__)
def test_the_names_that_it_promises_are_there(name):
    assert getattr(salience, name).__name__ == name
    assert name in dir(salience)


def test_a_name_that_it_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'salience' has no attribute 'log_mle'"):
        _ = salience.log_mle


def test_the_wheel_holds_the_whole_library(tmp_path):
    """Built from the files under version control, unpacked elsewhere and imported from there."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    wanted = [name for name in tracked.split("\0") if re.match(r"local/salience/|pyproject|README|LICENSE", name)]
    for name in wanted:
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((TOP / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, str(tmp_path / "checkout")], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("salience-*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("salience/")}
        wheel.extractall(tmp_path / "site")
    assert held == {name.removeprefix("local/") for name in wanted if name.startswith("local/")}
    code = "import salience; print(salience.__file__, salience.read_audio.__module__)"
    said = python(f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}", "-I")
    assert said.split() == [str(tmp_path / "site/salience/__init__.py"), "salience.audio"]


def test_the_pinned_versions_are_among_those_that_the_package_allows():
    listed = [line.split("#")[0].strip() for line in (TOP / "requirements.txt").read_text().splitlines()]
    listed += re.findall(r"^# no-deps: *(\S+)", (TOP / "requirements.txt").read_text(), re.MULTILINE)
    listed += [line.split("#")[0].strip() for line in (TOP / "tests/requirements.txt").read_text().splitlines()]
    pins = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in map(Requirement, filter(None, listed))}
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(name for extra in extras if extra != "all" for name in extras[extra])]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text
    assert extras["all"] == [f"salience[{','.join(extra for extra in extras if extra != 'all')}]"]
