"""parse_options.sh: every line of its contract, under set -euo pipefail."""

import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PARSER = Path(__file__).resolve().parents[2] / "utils" / "parse_options.sh"

SCRIPT = f"""
set -euo pipefail
help_message="usage: this script
second line"
stage=0
stop_stage=9
mini=false
name=
lr_args=
. "{PARSER}"
printf '%s\\0' "$stage" "$stop_stage" "$mini" "$name" "$lr_args" "$@"
"""


def run(*words, code=0, cwd=None):
    """Parse the words; what the script says, as fields or, when it fails, as the error."""
    done = subprocess.run(
        ["bash", "-c", SCRIPT, "somewhere/script.sh", *words], capture_output=True, text=True, cwd=cwd, timeout=20
    )
    assert done.returncode == code, done.stderr
    if code:
        assert done.stdout == "" and done.stderr.startswith("script.sh: ") and done.stderr.count("\n") == 1
        return done.stderr
    assert done.stderr == ""
    return done.stdout.split("\0")[:-1]


DEFAULTS = ["0", "9", "false", "", ""]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], DEFAULTS),
        (["--stage", "3"], ["3", *DEFAULTS[1:]]),
        (["--stop-stage", "6", "--stage=2"], ["2", "6", *DEFAULTS[2:]]),
        (["--stop_stage", "6"], ["0", "6", *DEFAULTS[2:]]),
        (["--mini", "true"], ["0", "9", "true", "", ""]),
        (["--mini=true"], ["0", "9", "true", "", ""]),
        (["--name", "a b  c"], ["0", "9", "false", "a b  c", ""]),
        (["--name="], DEFAULTS),
        (["--name", ""], DEFAULTS),
        (["--name=x=y"], ["0", "9", "false", "x=y", ""]),
        (["--lr-args", "--lr 3"], ["0", "9", "false", "", "--lr 3"]),
        (["--name", "-h"], ["0", "9", "false", "-h", ""]),
        (["--name", "--unknown"], ["0", "9", "false", "--unknown", ""]),
        (["--name", "$(touch oops) `x` \\"], ["0", "9", "false", "$(touch oops) `x` \\", ""]),
        (["--stage", "1", "rest", "--stage", "2"], ["1", *DEFAULTS[1:], "rest", "--stage", "2"]),
        (["-x", "--stage", "2"], [*DEFAULTS, "-x", "--stage", "2"]),
        (["", "x"], [*DEFAULTS, "", "x"]),
    ],
)
def test_accepted(words, expected, tmp_path):
    assert run(*words, cwd=tmp_path) == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--x", "1"], "invalid option --x"),
        (["--x=1"], "invalid option --x"),
        (["--", "1"], "invalid option --"),
        (["--a;b", "1"], "invalid option --a;b"),
        (["--__name", "1"], "invalid option --__name"),
        (["--stage"], "option --stage needs a value"),
        (["--name", "x", "--stage"], "option --stage needs a value"),
        (["--stage", "--stop-stage", "3"], "option --stage needs a value"),
        (["--mini", "yes"], "option --mini takes true or false, not 'yes'"),
        (["--mini", ""], "option --mini takes true or false"),
        (["--mini=1"], "option --mini takes true or false"),
        (["--stage", "--help"], "option --stage needs a value, but --help follows"),
        (["--stage", "--config", "x"], "option --stage needs a value, but --config follows"),
        (["--config", "/dev/null", "--config", "nowhere.conf"], "nowhere.conf"),
        (["--config", "nowhere.conf"], "nowhere.conf"),
    ],
)
def test_refused(words, said, tmp_path):
    assert said in run(*words, code=1, cwd=tmp_path)


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["--stage", "2", "--help"], ["--stage", "2", "-h"], ["--help", "--nonsense"]]
)
def test_help(words):
    done = subprocess.run(["bash", "-c", SCRIPT, "x", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "usage: this script\nsecond line\n", "")


@pytest.mark.parametrize("place", ["site.conf", "a b.conf", "./site.conf"])
def test_config_is_read_first_and_loses(place, tmp_path):
    (tmp_path / place).write_text("stage=5\nname='from config'\n")
    assert run("--stage", "7", "--config", place, cwd=tmp_path) == ["7", "9", "false", "from config", ""]
    assert run(f"--config={place}", cwd=tmp_path) == ["5", "9", "false", "from config", ""]


def test_all_configs_count_from_left_to_right(tmp_path):
    (tmp_path / "site.conf").write_text("stage=5\nname=site\n")
    (tmp_path / "own.conf").write_text("name=own\nlr_args=own\n")
    words = ["--config", "site.conf", "--lr-args", "mine", "--config=own.conf", "rest"]
    assert run(*words, cwd=tmp_path) == ["5", "9", "false", "own", "mine", "rest"]
    assert run("--config=own.conf", "--config", "site.conf", cwd=tmp_path) == ["5", "9", "false", "site", "own"]


RECIPES = sorted(path.parent.name for path in PARSER.parents[1].glob("egs/*/run.sh"))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("words", [["-stage", "2"], ["--stage", "9", "fsdd", "--stop-stage", "8"]])
def test_a_recipe_refuses_words_that_are_no_options(recipe, words):
    folder = PARSER.parents[1] / "egs" / recipe
    done = subprocess.run(["./run.sh", *words], cwd=folder, capture_output=True, text=True, timeout=60)
    stray = next(word for word in words if not word.startswith("--") and word != "9")
    said = f"{recipe}/run.sh: unexpected word '{stray}'; options are written --name value (--help lists them)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_helps(recipe):
    folder = PARSER.parents[1] / "egs" / recipe
    done = subprocess.run(["./run.sh", "-h"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: ./run.sh ") and done.stderr == ""


def test_the_parser_leaves_nothing_behind():
    script = f'before=$(set); . "{PARSER}"; diff <(echo "$before") <(set) | grep -o "^> [A-Za-z_]*" | sort -u'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    names = {line[2:] for line in done.stdout.split("\n") if line} - {
        "_",
        "before",
        "BASH",
        "PIPESTATUS",
        "BASH_REMATCH",
    }
    assert names <= {"BASH_LINENO", "FUNCNAME", "BASH_ARGC", "BASH_ARGV"}, names


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=string.printable.replace("\r", "") + "éش", max_size=20))
def test_any_value_arrives_as_it_is(value):
    assert run(f"--name={value}")[3] == value
