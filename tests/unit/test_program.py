"""What the shell sees when a program cannot go on."""

import errno
import os
import sys
from pathlib import Path

import pytest

from salience import program
from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import read_json, room_for


def says(monkeypatch: pytest.MonkeyPatch, problem: Exception | None = None, work=None) -> str:
    """The one sentence with which a program ends that meets this problem."""

    def fail() -> None:
        """Fail."""
        if problem is not None:
            raise problem
        work()

    monkeypatch.setattr(sys, "argv", ["local/fail.py"])
    with pytest.raises(SystemExit) as ended:
        program.main(fail)
    return str(ended.value)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "dump/train/feats.scp has no entry for a; run the stage that writes it again",
            "dump/train/feats.scp has no entry for a; run stage 2 again",
        ),
        (
            "data/x: data/train/text does not exist; run the stage that writes it",
            "data/x: data/train/text does not exist; run stage 1 again",
        ),
        (
            "exp/masks/a.scp is odd; run the stage that writes the masks again",
            "exp/masks/a.scp is odd; run the stage that writes the masks again",
        ),
        ("there is none in dump; run the stage again", "there is none in dump; run the stage again"),
        ("dump/a is odd; check it", "dump/a is odd; check it"),
    ],
)
def test_a_recipe_tells_which_stage(message, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALIENCE_STAGES", "downloads=0 data=1 dump=2")
    assert says(monkeypatch, InputError(message)) == f"fail.py: {sentence}"


def test_outside_of_recipes_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (
        says(monkeypatch, work=lambda: read_json(Path("exp/a.json")))
        == "fail.py: exp/a.json does not exist; run the stage that writes it"
    )


def test_a_table_that_was_cut_off(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALIENCE_STAGES", "data=1")
    Path("data").mkdir()
    Path("data/text").write_text("a one two\nb thr")
    said = says(monkeypatch, work=lambda: read_table(Path("data/text")))
    assert said.startswith("fail.py: data/text:2 does not end its line: the file was cut off; run stage 1 again")


def test_a_full_disk_names_the_file(monkeypatch):
    def write() -> None:
        try:
            with room_for(Path("exp/model.pt")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("a library's own words") from error

    assert (
        says(monkeypatch, work=write)
        == "fail.py: no space left on the disk for exp/model.pt; free some and run the same command again, what is done"
        " stays done"
    )
