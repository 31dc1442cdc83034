"""What the shell sees when a program cannot go on."""

import errno
import os
import sys
from pathlib import Path

import pytest

from salience import program
from salience.data.tables import read_table
from salience.errors import RERUN, InputError, stale
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
    ("error", "sentence"),
    [
        (stale(Path("dump/train/feats.scp"), "has no entry for a"), f"has no entry for a; {RERUN} (stage 2)"),
        (stale(Path("exp/masks/a.scp"), "is odd"), f"is odd; {RERUN}"),
        (InputError("dump/a is odd; check it"), "is odd; check it"),
    ],
)
def test_a_recipe_tells_which_stage(error, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALIENCE_STAGES", "downloads=0 data=1 dump=2")
    assert says(monkeypatch, error) == f"fail.py: {error.path or 'dump/a'} {sentence}"


def test_outside_of_recipes_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (
        says(monkeypatch, work=lambda: read_json(Path("exp/a.json"))) == f"fail.py: exp/a.json does not exist; {RERUN}"
    )


def test_a_table_that_was_cut_off(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALIENCE_STAGES", "data=1")
    Path("data").mkdir()
    Path("data/text").write_text("a one two\nb thr")
    assert says(monkeypatch, work=lambda: read_table(Path("data/text"))) == (
        "fail.py: data/text:2 has no final newline; the file may be truncated; end the line if nothing is missing, or"
        f" {RERUN} (stage 1)"
    )


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
