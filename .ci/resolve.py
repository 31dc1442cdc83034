"""Ask uv whether every Python that utils/setup.sh supports can install all lists of requirements and the package.

Nothing is installed, and uv asks as pip in .venv is configured to.  Exit status 1 with uv's own words when a version
cannot be served, or when it would have to compile what others get as a wheel.
"""

import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

TOP = Path(__file__).resolve().parents[1]
OPTIONS = {
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "no-index": "--no-index",
    "constraint": "--constraint",
}
"""uv's names of the settings of pip that say what there is to install."""


def configured() -> list[str]:
    """uv's options for what pip's files and environment say; of a setting made twice, the last counts."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = dict(re.findall(r"^(?:global|install|site|user|:env:)\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE))
    # As pip chooses among several indices; and no Python is needed of the version that is asked about.
    words = ["--index-strategy", "unsafe-best-match", "--no-python-downloads"]
    for setting, option in OPTIONS.items():
        values = found.get(setting, "").split()
        words += [option] * bool(values) if setting == "no-index" else [w for value in values for w in (option, value)]
    return words


def resolve(version: str, options: list[str], *requirements: str) -> dict[str, bool]:
    """Each package that this Python would get, and whether as a wheel."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--format", "pylock.toml", *options]
    command += ["--python-version", version, "-"]
    done = subprocess.run(command, input="\n".join(requirements), cwd=TOP, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"resolve.py: Python {version} is not served:\n{done.stderr.strip()}")
    return {one["name"]: bool(one.get("wheels")) for one in tomllib.loads(done.stdout).get("packages", [])}


def refused(version: str, packages: dict[str, bool]) -> list[str]:
    """Those of the packages in .venv that say they are for older Pythons only: pip obeys that, uv does not."""
    installed = {re.sub(r"[-_.]+", "-", one.name).lower(): one.metadata for one in metadata.distributions()}
    return [
        f"resolve.py: Python {version} is not served: {name} requires Python {wanted}"
        for name in packages
        if (wanted := (installed.get(name) or {}).get("Requires-Python")) and version not in SpecifierSet(wanted)
    ]


def main() -> None:
    """Resolve all lists together, as they share .venv, and the lines without dependencies by themselves."""
    setup = (TOP / "utils/setup.sh").read_text()
    versions = re.search(r"^pythons=\((.*?)\)", setup, re.MULTILINE)[1].split()
    lists = [
        path.read_text() for path in (TOP / "requirements.txt", *sorted((TOP / "tests").rglob("requirements.txt")))
    ]
    package = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = [name for extra, names in package["optional-dependencies"].items() if extra != "all" for name in names]
    single = [name for text in lists for name in re.findall(r"^# no-deps: *(\S+)", text, re.MULTILINE)]
    options = configured()
    with ThreadPoolExecutor() as pool:  # it mostly waits for answers
        together = pool.map(lambda v: resolve(v, options, *package["dependencies"], *extras, *lists), versions)
        alone = pool.map(lambda v: resolve(v, [*options, "--no-deps"], *single), versions)
        found = {version: one | other for version, one, other in zip(versions, together, alone, strict=True)}
    wheels = {name for packages in found.values() for name, wheel in packages.items() if wheel}
    bad = []
    for version, packages in found.items():
        sources = sorted(name for name, wheel in packages.items() if not wheel)
        print(f"resolve.py: Python {version}: {len(packages)} packages, as source only: {' '.join(sources)}")
        bad += [f"resolve.py: Python {version} has no wheel of {n}, which others have" for n in sources if n in wheels]
        bad += refused(version, packages)
    if bad:
        raise SystemExit("\n".join(bad))


if __name__ == "__main__":
    main()
