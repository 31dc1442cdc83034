"""Full disks: every way in which programs write, and the first stages of a recipe."""

import os
import re
import subprocess
import sys
import textwrap
from contextlib import suppress

import pytest
from disk import faults_of, small_disk
from harness import TOP, copy_of_the_project

sys.path.append(str(TOP / "tests/unit"))
from fake_schedulers import install, words

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {library!r})
from salience import program

def write(folder: Path) -> None:
    \"\"\"Write more than there is room for.\"\"\"
    import numpy as np
{body}

program.main(write)
"""
WAYS = {
    "a table": (
        "from salience.data.tables import write_table; write_table(folder / 'out', {str(i): 'x' * 1000 for i in"
        " range(500)})"
    ),
    "json": "from salience.files import write_json; write_json(folder / 'out', ['x' * 1000] * 500)",
    "an archive": (
        """
        from salience.features.archives import ArchiveWriter
        with ArchiveWriter(folder / "out") as writer:
            for i in range(500):
                writer.write(str(i), np.ones((10, 80)))"""
    ),
    "sound": "from salience.audio import write_audio; write_audio(folder / 'out.wav', np.zeros(500_000), 16000)",
    "packed waveforms": (
        """
        import soundfile
        from salience.data.records import Utterance
        from salience.data.packed import pack
        place = Path(sys.argv[0]).with_name("long.wav")
        soundfile.write(place, np.zeros(500_000), 16000)
        long = Utterance(id="a", speaker="a", audio=place, text="", duration=31.25, recording="a")
        pack(folder / "out", [long], 16000)"""
    ),
    "a model": (
        """
        import torch
        from salience.files import temporary_name
        torch.save({"w": torch.zeros(500_000)}, temporary_name(folder / "out"))"""
    ),
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A disk of 128 KB."""
    with small_disk(tmp_path_factory.mktemp("faults") / "disk") as folder:
        subprocess.run(["mount", "-o", "remount,size=131072", str(folder)], check=True)
        yield folder


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(way, disk, tmp_path):
    script = tmp_path / "write.py"
    body = textwrap.indent(textwrap.dedent(WAYS[way]).strip(), "    ")
    script.write_text(PROGRAM.format(library=str(TOP / "local"), body=body))
    done = subprocess.run(
        [sys.executable, str(script), "--folder", str(disk)], cwd=disk, capture_output=True, text=True
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert (
        done.stderr.startswith("write.py: no space left on the disk for ")
        and "free some and run the same command again" in done.stderr
    )
    assert way == "a model" or f"{disk}/out" in done.stderr
    for path in disk.rglob("*"):
        if path.is_file():
            assert path.name.startswith("."), path
            path.unlink()


SUBMITTERS = pytest.mark.parametrize("submitter", ["run.pl", "slurm.pl", "queue.pl"])


def refused(submitter, disk, tmp_path, *command) -> str:
    """What a submitter says on the full disk; nothing else is left on it but its logs and what lies in q/."""
    environment = os.environ | install(tmp_path / "fake")
    done = subprocess.run(
        words(submitter, "log", *command), cwd=disk, env=environment, capture_output=True, text=True, timeout=60
    )
    ends = list(disk.glob("q/*.ends"))
    for path in (disk / "log", disk / "q"):
        subprocess.run(["rm", "-rf", path], check=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr and not ends, done.stderr
    assert not list((tmp_path / "fake").glob("task.*"))
    return done.stderr


@SUBMITTERS
def test_a_job_whose_log_finds_no_room(submitter, disk, tmp_path):
    said = refused(submitter, disk, tmp_path, "yes")
    assert "cannot write the log log (No space left on device); free some and run the same command again" in said
    assert f"{submitter}: job failed, log is in log" in said


@SUBMITTERS
def test_a_submitter_on_a_full_disk(submitter, disk, tmp_path):
    with suppress(OSError), open(disk / "full", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    said = refused(submitter, disk, tmp_path, "true")
    (disk / "full").unlink()
    assert said.startswith(f"{submitter}: cannot write ") and said.endswith(
        "(No space left on device); free some and run the same command again\n"
    )
    assert said.count("\n") == 1 and not (tmp_path / "fake/submissions").exists()


def test_a_submitted_job_is_cancelled_when_its_number_finds_no_room(disk, tmp_path):
    environment = os.environ | install(tmp_path / "fake")
    sbatch = tmp_path / "fake/sbatch"
    # The disk fills while it submits.
    (tmp_path / "fake/real").write_text(sbatch.read_text())
    sbatch.write_text(
        f'#!/bin/sh\ncat /dev/zero > full 2> /dev/null\nexec {sys.executable} {tmp_path}/fake/real "$@"\n'
    )
    done = subprocess.run(
        words("slurm.pl", "log", "sleep", "60"), cwd=disk, env=environment, capture_output=True, text=True, timeout=60
    )
    subprocess.run(["rm", "-rf", *disk.iterdir()], check=True)
    assert done.returncode == 1 and "(No space left on device)" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "fake/cancelled").read_text() == "77\n"


SMALLER = {
    "speech_commands.py": ("MINI_SPEAKERS = ", '{"train": 3, "dev": 2, "test": 2}'),
    "musan.py": ("MINI_NOISES = ", '{"free-sound": 8, "sound-bible": 2}'),
}
"""Sizes of the mini corpora: a full disk takes no more clips to be met, and each is spoken four times."""


def test_the_first_stages_of_a_recipe_go_on_when_there_is_room_again(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        project = copy_of_the_project(folder / "project")
        for name, (setting, value) in SMALLER.items():
            path = project / "local/salience/corpora/synthetic" / name
            text, found = re.subn(f"^{setting}.*$", setting + value, path.read_text(), flags=re.MULTILINE)
            assert found == 1
            path.write_text(text)
        assert list(faults_of(folder, project, "gsc_v2", {}, 1, range(3))) == []
