"""Full disks: every way in which programs write, and the first stages of a recipe."""

import os
import subprocess
import sys
import textwrap

import pytest
from disk import faults_of, small_disk
from harness import TOP, copy_of_the_project

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
    "a table": "from salience.data.tables import write_table; write_table(folder / 'out', {str(i): 'x' * 1000 for i in range(500)})",
    "json": "from salience.files import write_json; write_json(folder / 'out', ['x' * 1000] * 500)",
    "an archive": """
        from salience.features.archives import ArchiveWriter
        with ArchiveWriter(folder / "out") as writer:
            for i in range(500):
                writer.write(str(i), np.ones((10, 80)))""",
    "sound": "from salience.corpora.headers import write_audio; write_audio(folder / 'out.wav', np.zeros(500_000), 16000)",
    "packed waveforms": """
        import soundfile
        from salience.corpora.records import Utterance
        from salience.data.packed import pack
        place = Path(sys.argv[0]).with_name("long.wav")
        soundfile.write(place, np.zeros(500_000), 16000)
        pack(folder / "out", [Utterance(id="a", speaker="a", audio=place, text="", duration=31.25, recording="a")], 16000)""",
    "a model": """
        import torch
        from salience.files import temporary_name
        torch.save({"w": torch.zeros(500_000)}, temporary_name(folder / "out"))""",
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
    done = subprocess.run([sys.executable, str(script), "--folder", str(disk)], cwd=disk, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("write.py: no space left on the disk for ") and "free some and run the same command again" in done.stderr
    assert way == "a model" or f"{disk}/out" in done.stderr
    for path in disk.rglob("*"):
        if path.is_file():
            assert path.name.startswith("."), path
            path.unlink()


def test_a_job_whose_log_finds_no_room(disk):
    command = [str(TOP / "utils/run.pl"), "log", "yes"]
    done = subprocess.run(command, cwd=disk, capture_output=True, text=True, timeout=60)
    (disk / "log").unlink()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot write the log log (No space left on device); free some and run the same command again" in done.stderr


def test_the_first_stages_of_a_recipe_go_on_when_there_is_room_again(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        project = copy_of_the_project(folder / "project")
        assert list(faults_of(folder, project, "gsc_v2", {}, 1, range(3))) == []
