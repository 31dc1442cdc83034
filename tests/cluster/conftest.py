"""A real Slurm and a real Grid Engine on this machine, started for the first test that asks, stopped at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Engine, running_engine


@pytest.fixture(scope="session")
def slurm() -> Iterator[Engine]:
    """Slurm with two nodes of four processors and two pretended GPUs each."""
    yield from running_engine("slurm.sh", "slurm.pl", "slurm", ["slurmctld", "slurmd", "munged"], "slurm-wlm and munge")


@pytest.fixture(scope="session")
def grid_engine() -> Iterator[Engine]:
    """Grid Engine with one host of four slots and two pretended GPUs."""
    packages = "gridengine-master, gridengine-exec and gridengine-client"
    yield from running_engine("grid_engine.sh", "queue.pl", "sge", ["sge_qmaster", "sge_execd", "qsub"], packages)


@pytest.fixture(params=["slurm", "grid_engine"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Among several processes each engine's tests have one, which starts it once; so the two run at the same time."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            name = parameters.get("engine") or next(
                name for name in ("slurm", "grid_engine") if name in item.fixturenames
            )
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; its path holds blanks and the range's name."""
    folder = tmp_path / "a JOB place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
