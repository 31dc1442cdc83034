"""local/nth_line.sh: one line's words as arguments, with quotes that hold together and nothing expanded."""

import os
import subprocess

import pytest
from corpora_helpers import TOP

LINES = r"""--seed 1 --out exp/a
--set "two words" 'and three more' --empty ''
--draws "1 2 3"   --glob * $HOME `ls` $(ls) ~ {draw} a;b & > file
-- -n --weight 0.1
"it's" 'say "x"'
ends "open
   """


def nth(tmp_path, number, *command):
    (tmp_path / "a b").mkdir(exist_ok=True)
    (tmp_path / "a b/lines").write_text(LINES)
    command = command or ("printf", "[%s]", "first word")
    return subprocess.run(
        [TOP / "local/nth_line.sh", tmp_path / "a b/lines", str(number), *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"HOME": "/expanded"},
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, ["--seed", "1", "--out", "exp/a"]),
        (2, ["--set", "two words", "and three more", "--empty", ""]),
        (3, ["--draws", "1 2 3", "--glob", "*", "$HOME", "`ls`", "$(ls)", "~", "{draw}", "a;b", "&", ">", "file"]),
        (4, ["--", "-n", "--weight", "0.1"]),
        (5, ["it's", 'say "x"']),
        (7, []),
    ],
)
def test_words_are_added_as_they_stand(tmp_path, number, words):
    done = nth(tmp_path, number)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"[{word}]" for word in ["first word", *words])


def test_the_commands_exit_code_is_kept(tmp_path):
    assert nth(tmp_path, 1, "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("number", [8, 99])
def test_a_line_that_is_not_there_runs_nothing(tmp_path, number):
    done = nth(tmp_path, number)
    assert (done.returncode, done.stdout) == (
        1,
        "",
    ) and done.stderr == f"nth_line.sh: {tmp_path}/a b/lines has no line {number}\n"


def test_an_open_quote_runs_nothing(tmp_path):
    """Rather than the command with fewer words than were meant."""
    done = nth(tmp_path, 6)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"nth_line.sh: line 6 of {tmp_path}/a b/lines opens a quote and does not close it\n")
