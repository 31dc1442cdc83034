"""utils/setup.sh with a pretended Python, which notes what it is asked to do; run.sh; and the CI's rule for skips."""

import html
import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

PYTHON = """#!/bin/bash
# A Python of version $VERSION that logs its calls and installs nothing but two files of torchaudio.
version=${VERSION:-3.11}
library=.venv/lib/python$version/site-packages/torchaudio/lib
case $1 in
    -c) case $2 in
            *version_info*) echo "$version" ;;
            *venv*) [ -z "${NO_VENV:-}" ] ;;
            *torchaudio*)
                case ${TORCH:-cuda} in
                    cpu) [ ! -e "$library/_torchaudio.abi3.so" ] ;;
                    cuda) [ -e "$library/_torchaudio.abi3.so" ] ;;
                    broken) echo "no such symbol" && exit 1 ;;
                esac ;;
        esac ;;
    --version) echo "Python $version.1" ;;
    -m)
        echo "${*:2}" >> "$CALLS"
        if [ "$2" = venv ]; then
            rm -rf .venv && mkdir -p .venv/bin && cp "$SELF" .venv/bin/python
            echo "version = $version.1" > .venv/pyvenv.cfg
        elif [ -e "${BLOCK:-/nowhere}" ]; then
            sleep 30
        elif [ -n "${FAIL_ON:-}" ] && [[ $* == *$FAIL_ON* ]]; then
            echo "no such package" && exit 1
        elif [[ $* == *torchaudio==* ]]; then
            mkdir -p $library && touch $library/_torchaudio.abi3.so $library/libtorchaudio.abi3.so
        fi ;;
esac
"""

LIST = """torch==2.13.0  # models
numpy==2
# no-deps: openai-whisper==20250625
# no-deps: espnet==202511       # recognisers
# no-deps: torchaudio==2.11.0   # filter banks
"""


class Checkout:
    """A copy of what set-up needs, with a pretended Python as the only one on PATH."""

    def __init__(self, folder):
        self.top = folder / "a checkout"
        (self.top / "utils").mkdir(parents=True)
        (self.top / "tests").mkdir()
        shutil.copy(TOP / "utils" / "setup.sh", self.top / "utils")
        (self.top / "requirements.txt").write_text(LIST)
        (self.top / "tests" / "requirements.txt").write_text("pytest==9\n")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in "bash cat cksum grep awk df sed mkdir rm cp touch tail flock sleep env dirname".split():
            self.tool(name, target=shutil.which(name))
        self.python = self.tool("python3.11", PYTHON)
        self.calls_file = folder / "calls"
        self.environment = {"PATH": str(self.bin), "CALLS": str(self.calls_file), "SELF": str(self.python)}

    def tool(self, name, text="", target=None):
        path = self.bin / name
        if target:
            path.symlink_to(target)
        else:
            path.write_text(text)
            path.chmod(0o755)
        return path

    def start(self, *words, **environment):
        command = [str(self.bin / "bash"), str(self.top / "utils" / "setup.sh"), *words]
        everything = {**self.environment, **environment}
        return subprocess.Popen(command, env=everything, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def run(self, *words, code=0, **environment):
        """Set up; what it said, and what Python was asked to do."""
        self.calls_file.write_text("")
        process = self.start(*words, **environment)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        return said, self.calls_file.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


PIP = "pip install --no-compile"
COMPILE = "compileall -q -j 0 .venv/lib"
BROKEN = [
    "venv --clear .venv",
    f"{PIP} pip==25.3",
    f"{PIP} torch==2.13.0",
    f"{PIP} -r requirements.txt",
    f"{PIP} --no-deps openai-whisper==20250625 espnet==202511 torchaudio==2.11.0",
]
FIRST = [*BROKEN, COMPILE]
TESTS = [f"{PIP} pip==25.3", f"{PIP} -r tests/requirements.txt", COMPILE]


def test_first_use_installs_in_order_and_the_second_starts_at_once(checkout):
    assert checkout.run()[1] == FIRST
    began = time.monotonic()
    assert checkout.run() == ("", [])
    assert time.monotonic() - began < 1
    assert checkout.run("--tests")[1] == TESTS
    assert checkout.run("--tests") == checkout.run() == ("", [])


def test_a_changed_list_is_installed_again(checkout):
    checkout.run("--tests")
    with open(checkout.top / "requirements.txt", "a") as handle:
        handle.write("scipy==1\n")
    assert checkout.run()[1] == FIRST[1:]
    assert checkout.run("--tests")[1] == []
    (checkout.top / "tests" / "requirements.txt").write_text("pytest==10\n")
    assert checkout.run()[1] == []
    assert checkout.run("--tests")[1] == TESTS


def test_another_python_or_place_begins_anew(checkout):
    checkout.run()
    other = checkout.tool("other", PYTHON)
    assert checkout.run(PYTHON=str(other))[1] == FIRST
    assert checkout.run(PYTHON=str(other))[1] == checkout.run()[1] == []
    moved = checkout.top.with_name("moved")
    checkout.top.rename(moved)
    checkout.top = moved
    assert checkout.run()[1] == FIRST


def test_a_broken_venv_is_made_anew(checkout):
    checkout.run()
    python = checkout.top / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert checkout.run()[1] == FIRST


def test_a_venv_that_was_already_there_is_used(checkout):
    subprocess.run([str(checkout.python), "-m", "venv"], cwd=checkout.top, env=checkout.environment, check=True)
    assert checkout.run()[1] == FIRST[1:]


def test_a_failed_installation_says_why_and_goes_on_later(checkout):
    said, calls = checkout.run(code=1, FAIL_ON="whisper")
    assert "no such package" in said and f"{BROKEN[-1]} failed" in said
    assert calls == BROKEN
    assert checkout.run()[1] == FIRST[1:]


def test_a_killed_set_up_begins_anew(checkout, tmp_path):
    block = tmp_path / "block"
    block.touch()
    process = checkout.start(BLOCK=str(block))
    while not checkout.calls_file.exists() or "pip" not in checkout.calls_file.read_text():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert checkout.run()[1] == FIRST


def test_two_at_once_wait_for_each_other(checkout, tmp_path):
    block = tmp_path / "block"
    block.touch()
    first = checkout.start(BLOCK=str(block))
    while not checkout.calls_file.exists() or "pip" not in checkout.calls_file.read_text():
        time.sleep(0.02)
    second = checkout.start()
    assert "waiting for another set-up" in second.stderr.readline()
    assert second.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 0 and "ready" in said


@pytest.mark.parametrize("version", ["3.11", "3.14"])
@pytest.mark.parametrize("torch", ["cpu", "cuda"])
def test_what_is_made_for_cuda_leaves_only_where_it_cannot_be_loaded(torch, version, checkout):
    checkout.run(TORCH=torch, VERSION=version)
    library = checkout.top / f".venv/lib/python{version}/site-packages/torchaudio/lib"
    left = ["libtorchaudio.abi3.so"] if torch == "cpu" else ["_torchaudio.abi3.so", "libtorchaudio.abi3.so"]
    assert sorted(path.name for path in library.iterdir()) == left


def test_a_torchaudio_that_stays_broken_is_said_and_tried_again(checkout):
    said, calls = checkout.run(code=1, TORCH="broken")
    assert f"setup.sh: torchaudio cannot be imported; see {checkout.top}/.cache/setup.log\n" in said and calls == BROKEN
    assert "no such symbol" in (checkout.top / ".cache" / "setup.log").read_text()
    assert checkout.run()[1] == FIRST[1:]
    assert checkout.run() == ("", [])


def test_what_nltk_would_fetch_is_there_as_empty_zips(checkout):
    checkout.run()
    for name in ("taggers/averaged_perceptron_tagger_eng.zip", "corpora/cmudict.zip"):
        with zipfile.ZipFile(checkout.top / ".venv/nltk_data" / name) as archive:
            assert archive.namelist() == []


def test_rapidfuzz_stands_in_for_editdistance(checkout):
    checkout.run()
    (path,) = (checkout.top / ".venv/lib").glob("*/site-packages/editdistance.py")
    module = runpy.run_path(str(path))
    assert module["eval"]("kitten", "sitting") == 3
    assert module["eval"](["the", "cat"], ["the", "hat", "cat"]) == 1


def test_nothing_is_mended_where_espnet_is_not_listed(checkout):
    (checkout.top / "requirements.txt").write_text("torch==2.13.0\n# no-deps: openai-whisper==20250625\n")
    checkout.run(TORCH="broken")
    assert not (checkout.top / ".venv/nltk_data").exists()


def test_this_environment_imports_what_was_mended_without_a_network(tmp_path):
    pytest.importorskip("espnet2")
    program = (
        "import socket\nsocket.getaddrinfo = socket.socket.connect = None\n"
        "import torchaudio, g2p_en, editdistance\nassert editdistance.eval('kitten', 'sitting') == 3"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "NLTK_DATA": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "nltk_data" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "environment", "said"),
    [
        (None, {"VERSION": "3.10"}, "Python 3.11 to 3.14 is needed, but "),
        (None, {"VERSION": "3.15"}, "Python 3.11 to 3.14 is needed, but "),
        (None, {"VERSION": "3.1"}, "Python 3.11 to 3.14 is needed, but "),
        (None, {"PYTHON": "/no/python3.12"}, "but /no/python3.12 is "),
        (None, {"NO_VENV": "1"}, "lacks the module venv; install it (Debian: apt-get install python3.11-venv)"),
        (lambda c: ((c.bin / "df").unlink(), c.tool("df", "#!/bin/bash\nprintf 'x\\nx 9 9 7000000 9 /\\n'\n")), {},
         "8 GB of free disk are needed"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_sentence_before_anything_is_downloaded(change, environment, said, checkout):
    if change:
        change(checkout)
    answer, calls = checkout.run(code=1, **environment)
    assert said in answer and answer.count("\n") == 1 and answer.startswith("setup.sh: ")
    assert calls == [] and not (checkout.top / ".venv").exists()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_supported_versions(version, checkout):
    checkout.python.rename(checkout.bin / f"python{version}")
    assert checkout.run(VERSION=version, SELF=str(checkout.bin / f"python{version}"))[1] == FIRST


def test_too_old_a_python_is_refused_by_name_and_version(checkout):
    checkout.python.rename(checkout.bin / "python3")
    said = checkout.run(code=1, VERSION="3.10")[0]
    assert (
        said == "setup.sh: Python 3.11 to 3.14 is needed, but python3 is Python 3.10.1; "
        "install one, or name it: PYTHON=/path/to/python3.14 ./run.sh\n"
    )


def test_the_newest_python_is_preferred(checkout):
    for name in ("python3", "python3.13", "python3.12"):
        checkout.tool(name, PYTHON)
    assert "making .venv with Python" in checkout.run()[0]
    assert (checkout.top / ".venv/made-with").read_text().splitlines()[0] == "python3.13"


def test_a_venv_of_an_unsupported_python_is_made_anew(checkout):
    checkout.run()
    (checkout.top / ".venv/bin/python").write_text(PYTHON.replace("${VERSION:-3.11}", "3.10"))
    (checkout.top / "requirements.txt").write_text(LIST + "scipy==1\n")
    assert checkout.run()[1] == FIRST


def test_a_python_that_cannot_run_is_passed_over(checkout):
    checkout.tool("python3.12", "#!/bin/bash\necho 'not chosen in this folder' >&2\nexit 127\n")
    assert checkout.run()[1] == FIRST


def test_unknown_option(checkout):
    assert checkout.run("--test", code=1)[0] == "setup.sh: unknown option --test; there are --tests and --benchmarks\n"


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt", "tests/benchmarks/requirements.txt"])
def test_every_requirement_has_one_pin_for_all_pythons(name):
    requirements = pytest.importorskip("packaging.requirements")
    lines = [line.partition(" #")[0].strip() for line in (TOP / name).read_text().splitlines()]
    listed = [requirements.Requirement(line) for line in lines if line and not line.startswith("#")]
    names = [requirement.name.lower() for requirement in listed]
    assert len(names) == len(set(names)) and not any(requirement.marker for requirement in listed)
    assert all(str(requirement.specifier).startswith("==") for requirement in listed)


# -- .ci/resolve.py ----------------------------------------------------------------------------------------------


@pytest.fixture
def lists(tmp_path):
    """A checkout with lists for Python 3.13 and 3.14, and a registry that is a folder of empty wheels."""
    top = tmp_path / "top"
    for folder in (".ci", "utils", "tests/fuzz", "registry"):
        (top / folder).mkdir(parents=True)
    shutil.copy(TOP / ".ci" / "resolve.py", top / ".ci")
    (top / "utils" / "setup.sh").write_text("#!/bin/bash\npythons=(3.14 3.13) # supported\n")
    (top / "requirements.txt").write_text("one==1  # of\n# no-deps: alone==1 # which asks for what is not there\n")
    (top / "tests" / "fuzz" / "requirements.txt").write_text("two==2\n")
    (top / "pyproject.toml").write_text('[project]\ndependencies = ["one"]\n[project.optional-dependencies]\n')
    add_wheel(top, "one", "1", needs='three; python_version >= "3.14"')
    add_wheel(top, "two", "2")
    add_wheel(top, "three", "1")
    add_wheel(top, "alone", "1", needs="nowhere")
    return top


def add_wheel(top, name, version, needs="", python="", tag="py3-none"):
    with zipfile.ZipFile(top / "registry" / f"{name}-{version}-{tag}-any.whl", "w") as archive:
        folder = f"{name}-{version}.dist-info"
        archive.writestr(f"{folder}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-any\n")
        lines = [f"Requires-Dist: {needs}"] * bool(needs) + [f"Requires-Python: {python}"] * bool(python)
        metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
        archive.writestr(f"{folder}/METADATA", metadata + "\n")
        archive.writestr(f"{folder}/RECORD", "")


def only_for_313(top, name):
    (wheel,) = (top / "registry").glob(f"{name}-*.whl")
    wheel.rename(str(wheel).replace("py3-none", "cp313-none"))


def add_source(top, name, version):
    with tarfile.open(top / "registry" / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": (
                f"""import os
def prepare_metadata_for_build_wheel(folder, settings=None):
    os.makedirs(os.path.join(folder, "{name}-{version}.dist-info"))
    with open(os.path.join(folder, "{name}-{version}.dist-info", "METADATA"), "w") as handle:
        handle.write("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return "{name}-{version}.dist-info"
"""
            ),
        }.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def install(top, name, python):
    """As the Python of the tests has it; uv obeys no upper bound."""
    folder = top / "installed" / f"{name}-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nRequires-Python: {python}\n")


def write_index(top):
    """List the registry's files as an index does, with the Pythons that each wheel says it is for."""
    links = {}
    for path in (top / "registry").iterdir():
        name, version = path.name.removesuffix(".tar.gz").split("-")[:2]
        python = ""
        if path.suffix == ".whl":
            metadata = zipfile.ZipFile(path).read(f"{name}-{version}.dist-info/METADATA").decode()
            python = "".join(re.findall(r"^Requires-Python: (.*)$", metadata, re.MULTILINE))
        wants = f' data-requires-python="{html.escape(python)}"' * bool(python)
        links.setdefault(name, []).append(f'<a href="{path.as_uri()}"{wants}>{path.name}</a>')
    for name, lines in links.items():
        (top / "simple" / name).mkdir(parents=True)
        (top / "simple" / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(lines)}</body></html>")
    return (top / "simple").as_uri()


def resolve(top, code=0):
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment = {
        **unset,
        "PIP_INDEX_URL": write_index(top),
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONPATH": str(top / "installed"),
    }
    done = subprocess.run([sys.executable, top / ".ci/resolve.py"], capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def test_lists_are_resolved_for_each_python(lists):
    add_source(lists, "four", "4")
    with open(lists / "requirements.txt", "a") as handle:
        handle.write("four==4\n")
    assert (
        resolve(lists) == "resolve.py: Python 3.14: 5 packages, as source only: four\n"
        "resolve.py: Python 3.13: 4 packages, as source only: four\n"
    )


@pytest.mark.parametrize(
    ("change", "version", "said"),
    [
        (lambda top: add_wheel(top, "one", "1", needs='nowhere; python_version >= "3.14"'), "3.14", "nowhere"),
        (lambda top: add_wheel(top, "one", "1", needs='nowhere; python_version < "3.14"'), "3.13", "nowhere"),
        (lambda top: install(top, "one", python="<3.14"), "3.14", "one requires Python <3.14"),
        (lambda top: add_wheel(top, "alone", "1", python=">=3.14"), "3.13", "the requested Python version (>=3.13)"),
        (lambda top: only_for_313(top, "two"), "3.14", "two==2"),
        (lambda top: add_wheel(top, "one", "1", needs="two==1"), "3.14", "requirements are unsatisfiable"),
    ],
)  # fmt: skip
def test_what_a_python_cannot_install_fails_with_its_version(change, version, said, lists):
    change(lists)
    answer = resolve(lists, code=1)
    assert f"resolve.py: Python {version} is not served:" in answer and said in " ".join(answer.split())


def test_what_only_some_pythons_would_compile_fails(lists):
    only_for_313(lists, "two")
    add_source(lists, "two", "2")
    assert resolve(lists, code=1) == "resolve.py: Python 3.14 has no wheel of two, which others have\n"


# -- run.sh ------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A checkout with two recipes that print their options, and a set-up that leaves a note."""
    top = tmp_path / "top"
    for recipe in ("librispeech_edacc", "fsdd"):
        (top / "egs" / recipe).mkdir(parents=True)
        script = top / "egs" / recipe / "run.sh"
        script.write_text('#!/bin/bash\necho "${PWD##*/}" "$SALIENCE_CALLER" "$@"\n')
        script.chmod(0o755)
    (top / "egs" / "notes").mkdir()
    (top / "utils").mkdir()
    (top / "utils" / "setup.sh").write_text("#!/bin/bash\ntouch set-up\n")
    (top / "utils" / "setup.sh").chmod(0o755)
    shutil.copy(TOP / "run.sh", top)
    return top


def top_run(project, *words, code=0):
    done = subprocess.run([str(project / "run.sh"), *words], capture_output=True, text=True, cwd=project.parent)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "librispeech_edacc {} --mini true"),
        (["--stage", "3"], "librispeech_edacc {} --mini true --stage 3"),
        (["--mini", "false"], "librispeech_edacc {} --mini false"),
        (["--mini=true"], "librispeech_edacc {} --mini=true"),
        (["--edacc-root", "x"], "librispeech_edacc {} --edacc-root x"),
        (["--librispeech_archive=x"], "librispeech_edacc {} --librispeech_archive=x"),
        (["--egs", "fsdd"], "fsdd {}"),
        (["--nj", "3", "--egs=fsdd", "--folds", "a b"], "fsdd {} --nj 3 --folds a b"),
        (["fsdd", "--stage", "1"], "fsdd {} --stage 1"),
        (["--folds", "fsdd", "--nj=2"], "librispeech_edacc {} --mini true --folds fsdd --nj=2"),
        (["--snrs", "-5 0", "--lr-args", "--lr 3"], "librispeech_edacc {} --mini true --snrs -5 0 --lr-args --lr 3"),
        (["--stage", "--egs", "fsdd"], "fsdd {} --stage"),
    ],
)
def test_run_sh_chooses_the_recipe_and_passes_options(words, expected, project):
    assert top_run(project, *words) == expected.format(project.parent) + "\n"
    assert (project / "set-up").exists()


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["--egs", "fsdd", "--help"], ["--help", "--egs", "fsdd"], ["fsdd", "-h"]]
)
def test_help_installs_nothing(words, project):
    said = top_run(project, *words)
    assert said == f"fsdd {project.parent} --help\n" if "fsdd" in words else "recipes: fsdd librispeech_edacc\n" in said
    assert not (project / "set-up").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--egs", "fsd"], "run.sh: there is no recipe 'fsd'; there are: fsdd librispeech_edacc\n"),
        (["--egs", "notes"], "run.sh: there is no recipe 'notes'; there are: fsdd librispeech_edacc\n"),
        (["fsd", "--stage", "1"], "run.sh: there is no recipe 'fsd'; there are: fsdd librispeech_edacc\n"),
        *(
            (words, f"run.sh: unexpected word '{stray}'; options are written --name value (--help lists them)\n")
            for words, stray in (
                (["-stage", "2"], "-stage"),
                (["--stage", "1", "fsdd"], "fsdd"),
                (["fsdd", "librispeech_edacc"], "librispeech_edacc"),
                (["--stage=1", "2"], "2"),
                (["--stage", "1", ""], ""),
                ([""], ""),
            )
        ),
        *(
            (words, "run.sh: option --egs needs a recipe's name: fsdd librispeech_edacc\n")
            for words in (["--egs"], ["--egs="], ["--egs", "", "--stage", "1"])
        ),
    ],
)
def test_unknown_recipes_and_stray_words(words, said, project):
    assert top_run(project, *words, code=1) == said
    assert not (project / "set-up").exists()


# -- skips in continuous integration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "environment", "bad"),
    [
        ("because", {}, True),
        ("could not import 'kaldiio'", {}, True),
        ("needs a GPU", {}, shutil.which("nvidia-smi") is not None),
        ("sclite is not installed (Debian package sctk)", {}, True),
        ("sclite is not installed (Debian package sctk)", {"SALIENCE_CI_MISSING": "sox sctk"}, False),
        ("sox is not installed", {"SALIENCE_CI_MISSING": "libsox-fmt-mp3"}, True),
        ("the optional test data x is not here", {"SALIENCE_TEST_DATA": "/nowhere"}, False),
        ("the optional test data x is not here", {"SALIENCE_TEST_DATA": "/"}, True),
    ],
)
def test_what_excuses_a_skip(reason, environment, bad, monkeypatch):
    monkeypatch.delenv("SALIENCE_CI_MISSING", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    rules = runpy.run_path(str(TOP / "tests" / "conftest.py"))
    assert rules["unexcused"](reason) == bad


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "--numprocesses", "2"]], ids=["alone", "two processes"])
@pytest.mark.parametrize("ci", ["1", "0"])
def test_a_skip_without_excuse_fails_in_ci(ci, options, tmp_path):
    if options:
        pytest.importorskip("xdist")
    shutil.copy(TOP / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_a(): pytest.skip('because')\ndef test_b(): pass\n")
    (tmp_path / "test_file.py").write_text("import pytest\npytest.importorskip('nowhere')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "pytest.ini", *options],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "SALIENCE_CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == int(ci), done.stdout
    for skip in ("test_it.py::test_a: because", "test_file.py: could not import 'nowhere'"):
        assert (skip in done.stdout) == bool(int(ci))
    assert "1 passed, 2 skipped" in done.stdout.splitlines()[-1]


def test_tests_of_a_group_share_a_process(tmp_path):
    """Otherwise each process would run a recipe for itself."""
    pytest.importorskip("xdist")
    group = (
        "@pytest.mark.parametrize('n', range(4))\n@pytest.mark.xdist_group('{0}')\ndef test_{0}(n):"
        " open(f'{0}.{{os.getpid()}}', 'w')\n"
    )
    (tmp_path / "test_it.py").write_text("import os\nimport pytest\n" + group.format("a") + group.format("b"))
    options = ["-p", "no:cacheprovider", "-p", "xdist", "--numprocesses", "2", "--dist", "loadgroup"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    (a,), (b,) = (list(tmp_path.glob(f"{name}.*")) for name in "ab")
    assert a.suffix != b.suffix


# -- tests/run.sh ------------------------------------------------------------------------------------------------


@pytest.fixture
def suite(tmp_path):
    """A checkout whose pytest only notes its options; $UNIT and $RECIPES are its exit codes for both halves."""
    top = tmp_path / "top"
    for folder in ("utils", "tests/unit", "tests/recipes", "bin"):
        (top / folder).mkdir(parents=True)
    shutil.copy(TOP / "tests" / "run.sh", top / "tests")
    (top / "path.sh").write_text("")
    programs = {
        "utils/setup.sh": 'echo "set-up $*" >> calls',
        "bin/python3": 'echo "${*:2}" >> calls\ncase $* in *tests/unit*) exit ${UNIT:-0} ;; esac\nexit ${RECIPES:-0}',
        "bin/nproc": "echo 2",
    }
    for name, text in programs.items():
        (top / name).write_text(f"#!/bin/bash\n{text}\n")
        (top / name).chmod(0o755)
    return top


def suite_calls(suite, *words, code=0, **answers):
    environment = {**os.environ, "PATH": f"{suite}/bin:{os.environ['PATH']}", **answers}
    done = subprocess.run([str(suite / "tests" / "run.sh"), *words], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return (suite / "calls").read_text().splitlines()


def test_unit_tests_share_the_processors_by_file_and_recipes_by_recipe(suite):
    units = (
        "pytest tests/fuzz tests/scale tests/faults tests/unit"
        " --numprocesses 2 --maxprocesses 8 --dist loadfile --no-loadscope-reorder"
    )
    others = "pytest tests/recipes tests/cluster --numprocesses 3 --dist loadgroup --no-loadscope-reorder"
    assert suite_calls(suite, "-x", "-k", "a b") == [
        "set-up --tests",
        *(f"{command} -x -k a b" for command in (units, others)),
    ]


@pytest.mark.parametrize("word", ["tests/recipes", "tests/unit::test_it"])
def test_only_what_is_named_runs(word, suite):
    assert suite_calls(suite, word, "-x", code=3, UNIT="3", RECIPES="3")[1:] == [f"pytest {word} -x"]


@pytest.mark.parametrize(
    ("units", "recipes", "code", "runs"),
    [(1, 0, 1, 1), (2, 0, 2, 1), (0, 1, 1, 2), (5, 0, 0, 2), (0, 5, 0, 2), (5, 5, 5, 2), (5, 1, 1, 2)],
)
def test_failures_of_either_half_count(units, recipes, code, runs, suite):
    assert len(suite_calls(suite, code=code, UNIT=str(units), RECIPES=str(recipes))) == 1 + runs
