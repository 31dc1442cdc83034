"""Ask pip whether every Python that utils/setup.sh supports can install all lists of requirements and the package.

Nothing is installed: these are dry runs of the pip in .venv, all at once, which look at what the registry has for
another Python.  Exit status 1 with pip's own words when a version cannot be served, or when it would have to compile
what others get as a wheel.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


def run_pip_as(version: str, *words: str) -> int:
    """Run pip as if this were Python `version`.

    pip's --python-version chooses the files, but leaves "python_version" in the
    requirements of packages to the Python that runs it, and refuses packages
    that come as source only, of which we have some: their metadata is the same
    everywhere.
    """
    from pip._internal.cli import cmdoptions, main
    from pip._vendor.packaging import markers

    here = markers.default_environment()
    there = {"python_version": version, "python_full_version": f"{version}.0", "implementation_version": f"{version}.0"}
    markers.default_environment = lambda: {**here, **there}
    cmdoptions.check_dist_restriction = lambda *args, **kwargs: None
    return main.main([*words, "--python-version", version])


def start(version: str, *words: str) -> subprocess.Popen:
    """Begin a dry run in a process of its own; it prints pip's report."""
    options = ["--dry-run", "--ignore-installed", "-qq", "--report", "-", "--use-feature", "fast-deps"]
    command = [sys.executable, __file__, version, "install", *options, *words]
    return subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> int:
    """Resolve all lists together, as they share .venv, and the lines without dependencies by themselves."""
    setup = (TOP / "utils/setup.sh").read_text()
    versions = re.search(r"^pythons=\((.*?)\)", setup, re.MULTILINE)[1].split()
    lists = [TOP / "requirements.txt", *sorted((TOP / "tests").rglob("requirements.txt"))]
    package = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = [name for extra, names in package["optional-dependencies"].items() if extra != "all" for name in names]
    together = [*package["dependencies"], *extras, *(word for path in lists for word in ("-r", str(path)))]
    alone = [name for path in lists for name in re.findall(r"^# no-deps: *(\S+)", path.read_text(), re.MULTILINE)]
    runs = {version: [start(version, *together), start(version, "--no-deps", *alone)] for version in versions}
    found = {version: {} for version in versions}  # the file of each package
    failed = False
    for version, processes in runs.items():
        for process in processes:
            out, err = process.communicate()
            if process.returncode:
                failed = True
                print(f"resolve.py: Python {version} is not served:\n{err.strip()}", file=sys.stderr)
            else:
                for item in json.loads(out)["install"]:
                    found[version][item["metadata"]["name"].lower()] = item["download_info"]["url"]
    if failed:
        return 1
    wheels = {name for files in found.values() for name, url in files.items() if url.endswith(".whl")}
    for version, files in found.items():
        sources = sorted(name for name, url in files.items() if not url.endswith(".whl"))
        print(f"resolve.py: Python {version}: {len(files)} packages, as source only: {' '.join(sources)}")
        for name in wheels.intersection(sources):
            failed = True
            print(f"resolve.py: Python {version} has no wheel of {name}, which others have", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(run_pip_as(*sys.argv[1:]) if sys.argv[1:] else main())
