"""run.pl, queue.pl and slurm.pl: every line of the command-line contract, the schedulers being small scripts."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_schedulers import UTILS, install, words


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory; its path holds blanks and the range's name."""
    folder = tmp_path / "a JOB place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return folder


@pytest.fixture
def schedulers(place, monkeypatch, tmp_path):
    """Fake commands of both schedulers on PATH; what they saw is in the folder returned."""
    for name, value in install(tmp_path / "fake").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "fake"


def run(command, *args, code=0, **options):
    """Run a submitter to its end; returns what it printed to stderr."""
    done = subprocess.run(words(command, *args), capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == code, done.stderr
    return done.stderr


def submissions(schedulers):
    """The command lines that the scheduler saw."""
    return [line.split("\0") for line in (schedulers / "submissions").read_text().splitlines()]


ALL = pytest.mark.parametrize("command", ["run.pl", "queue.pl", "slurm.pl"])
CLUSTER = pytest.mark.parametrize("command", ["queue.pl", "slurm.pl"])

# -- the command line --------------------------------------------------------------------------------------------


@ALL
def test_options_and_range_come_in_any_order(command, schedulers):
    head = ["--mem", "4G", "N=2:3", "--num-threads", "2", "--time", "4:0:0", "--max-jobs-run", "1", "--gpu", "0"]
    run(command, *head, "log/f.N.log", "echo", "taskN")
    assert sorted(p.name for p in Path("log").glob("*.log")) == ["f.2.log", "f.3.log"]
    assert "\ntask3\n" in Path("log/f.3.log").read_text()


@ALL
def test_name_is_replaced_everywhere_in_command_and_log(command, schedulers):
    run(command, "JOB=7", "log/JOB/x.JOB.log", "echo", "aJOBb", "c JOB d", 'e "JOB" f')
    assert '\na7b c 7 d e "7" f\n' in Path("log/7/x.7.log").read_text()


@ALL
def test_working_directory_is_not_rewritten(command, schedulers, place):
    run(command, "JOB=1:2", "log/f.JOB.log", "pwd")
    assert f"\n{place}\n" in Path("log/f.2.log").read_text()


@ALL
def test_a_parallel_job_with_one_log_is_an_error(command, schedulers):
    said = run(command, "JOB=1:2", "log/f.log", "true", code=1)
    assert "you are trying to run a parallel job but you are putting the output into just one log file" in said
    run(command, "JOB=1:1", "log/f.log", "true")


@ALL
@pytest.mark.parametrize("bad", ["JOB=0:2", "JOB=3:2", "JOB=0", "JOB=1:n", "JOB=:2"])
def test_a_malformed_range_is_an_error(command, bad, place):
    assert "invalid job range" in run(command, bad, "log/f.JOB.log", "true", code=1)


@ALL
@pytest.mark.parametrize("given", [[], ["log"], ["--mem", "4G", "JOB=1:2", "log.JOB"]])
def test_fewer_than_two_words_is_usage(command, given, place):
    assert f"usage: {command}" in run(command, *given, code=1)


@ALL
def test_options_take_one_value_but_v_and_pe(command, schedulers):
    run(command, "-V", "-pe", "smp", "4", "-q", "all.q", "-sync", "y", "-tc", "1", "log/f.log", "echo", "x")
    assert "\nx\n" in Path("log/f.log").read_text()


@ALL
def test_an_option_without_its_value_is_an_error(command, place):
    assert "--mem" in run(command, "--mem", code=1)


@ALL
@pytest.mark.parametrize("bad", ["0", "-1", "many"])
def test_max_jobs_run_is_a_positive_number(command, bad, place):
    run(command, "--max-jobs-run", bad, "JOB=1:2", "f.JOB.log", "true", code=1)


# -- quoting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run.pl", "slurm.pl"])
@pytest.mark.parametrize(
    ("given", "shell", "output"),
    [
        (["echo", "a", "|", "tr", "a", "b"], "echo a | tr a b", "b"),
        (["echo", "a", ">", "out", ";", "cat", "out"], "echo a > out ; cat out", "a"),
        (["echo", "$GREETING you"], 'echo "$GREETING you"', "hello you"),
        (["echo", "$GREETING"], "echo $GREETING", "hello"),
        (["echo", 'say "$GREETING"  now'], "echo 'say \"$GREETING\"  now'", 'say "$GREETING"  now'),
        (["echo", 'it\'s "quoted" here'], "echo 'it'\\''s \"quoted\" here'", 'it\'s "quoted" here'),
        (["printf", "[%s]", "", "x"], 'printf [%s] "" x', "[][x]"),
        (["echo", "two\nlines"], 'echo "two\n# lines"', "two\nlines"),
        (["echo", "zażółć\u00a0x"], "echo zażółć\u00a0x", "zażółć\u00a0x"),
    ],
)
def test_quoting(command, given, shell, output, schedulers, monkeypatch):
    monkeypatch.setenv("GREETING", "hello")
    run(command, "log/f.log", *given)
    log = Path("log/f.log").read_text()
    assert f"# {shell}\n" in log
    assert re.search(rf"^#\n{re.escape(output)}\n# Accounting", log, re.MULTILINE)


@ALL
def test_commands_may_be_longer_than_an_argument(command, schedulers):
    """200 KB of words, and an exit code that comes through."""
    said = run(command, "JOB=1:2", "log/f.JOB.log", "echo", *["word"] * 40000, "|", "wc", "-w;", "exit", "JOB", code=1)
    assert f"{command}: 2 / 2 failed" in said and "Ended (code 2)" in Path("log/f.2.log").read_text()
    assert "\n40000\n# Accounting" in Path("log/f.1.log").read_text()
    run(command, "log/f.log", "printf", "%s", *["$EMPTY", '"x" y', "a b"] * 30000, "|", "wc", "-c")
    assert "\n240000\n# Accounting" in Path("log/f.log").read_text()


@ALL
def test_a_long_command_reads_no_input_and_keeps_no_file_open(command, schedulers):
    listed = ["ls", "-l", "/proc/self/fd;", "cat;", "true", *["word"] * 40000]
    run(command, "log/long.log", *listed)
    run(command, "log/short.log", *listed[:-40000])
    files = [re.findall(r" (\d+) -> (?!/proc)", Path(f"log/{name}.log").read_text()) for name in ("long", "short")]
    assert files[0] == files[1] == ["0", "1", "2"]


# -- logs and exit codes -----------------------------------------------------------------------------------------

DATE = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}"


@ALL
def test_the_log(command, schedulers):
    run(command, "--num-threads", "3", "log/f.log", "echo", "out;", "echo", "err", ">&2")
    threads = 1 if command == "run.pl" else 3
    log = Path("log/f.log").read_text()
    first = "" if command == "run.pl" else r"# Running on \S+\n"
    assert re.fullmatch(
        rf"{first}# echo out; echo err >&2\n# Started at {DATE}\n#\nout\nerr\n"
        rf"# Accounting: time=\d+ threads={threads}\n# Ended \(code 0\) at {DATE}, elapsed time \d+ seconds\n",
        log,
    ), log


@ALL
@pytest.mark.parametrize(
    ("job", "result"),
    [("exit 3", "code 3"), ("kill -9 $$", "code 1; signal 9"), ("bash -c 'kill -15 $$'; exit $?", "code 1; signal 15")],
)
def test_the_end_of_a_failed_job(command, job, result, schedulers):
    said = run(command, "log/f.log", "printf", "unfinished;", *job.split(" "), code=1)
    assert f"{command}: job failed, log is in log/f.log\n" in said
    log = Path("log/f.log").read_text()
    assert re.search(rf"\nunfinished.*\n# Accounting: .*\n# Ended \({re.escape(result)}\) at ", log), log


@ALL
def test_a_failed_array_says_which_why_and_how_to_go_on(command, schedulers, monkeypatch):
    monkeypatch.setenv("SET", "yes")
    Path("path.sh").write_text(f". {UTILS.parent}/path.sh\nexport SET=yes\n")
    fails = [
        "JOB=1:3",
        "log/f.JOB.log",
        "echo",
        "the cause is JOB",
        ";",
        "test",
        "JOB",
        "=",
        "1",
        "-o",
        "-e",
        "good JOB",
        "-a",
        "$SET",
        "=",
        "yes",
    ]
    said = run(command, *fails, code=1)
    assert f"{command}: 2 / 3 failed, log is in log/f.*.log\n" in said
    assert "the last lines of log/f.2.log:\n" in said and "    the cause is 2\n" in said
    before = {p.name: p.stat().st_mtime_ns for p in Path("log").glob("f.*.log")}
    Path("good 2").touch()
    Path("good 3").touch()
    printed = re.search(r"to run only what failed again: (.*)", said)[1]
    assert f"{UTILS / command} --pick failed JOB=1:3" in printed
    # In a new shell: another folder, and nothing of what path.sh sets.
    found = {} if command == "run.pl" else {"PATH": f"{schedulers}:/usr/bin:/bin", "FAKE": str(schedulers)}
    done = subprocess.run(["bash", "-c", printed], cwd="/", env=found, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    after = {p.name: p.stat().st_mtime_ns for p in Path("log").glob("f.*.log")}
    assert {name for name in after if after[name] == before[name]} == {"f.1.log"}


@ALL
def test_the_environment_is_passed(command, schedulers, monkeypatch):
    monkeypatch.setenv("MY_OWN", "thing")
    run(command, "log/f.log", "test", "$MY_OWN", "=", "thing")


@CLUSTER
def test_names_of_the_job_script_are_its_own(command, schedulers):
    """The command gets the user's variables, whatever their names, and they mean nothing to the script."""
    run(command, "JOB=1:2", "log/f.JOB.log", "true")
    assigned = set(
        re.findall(r"^\s*(?:export |for )?([A-Za-z_]\w*)(?:=| in )", Path("log/q/f.sh").read_text(), re.MULTILINE)
    )
    assert assigned and all(name.startswith("_salience_") for name in assigned - {"OMP_NUM_THREADS"}), assigned
    names = ["stopped", "ends", "pause", "task", "command", "log", "started", "code", "seconds", "result", "NO_TASK"]
    for given, log in ((["JOB=1:2", "log/f.JOB.log"], "log/f.2.log"), (["log/g.log"], "log/g.log")):
        # As in a job of a user's own array.
        environment = os.environ | dict.fromkeys(names, "7") | {"SLURM_ARRAY_TASK_ID": "7", "SGE_TASK_ID": "7"}
        run(command, *given, "echo", *(f"${name}" for name in names), env=environment)
        assert f"\n{' '.join('7' * len(names))}\n# Accounting" in Path(log).read_text()


def test_a_job_submitted_from_an_array_has_its_own_number(schedulers):
    (schedulers / "busy").touch()
    run("slurm.pl", "log/f.log", "cat", "log/q/*.ends/.job", env=os.environ | {"SLURM_ARRAY_JOB_ID": "5"})
    assert "\n77\n# Accounting" in Path("log/f.log").read_text()


@ALL
def test_a_submitter_may_be_linked_into_another_recipe(command, schedulers):
    Path("utils").mkdir()
    Path("utils", command).symlink_to(UTILS / command)
    done = subprocess.run(
        [f"utils/{command}", "log/f.log", "echo", "linked"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "\nlinked\n" in Path("log/f.log").read_text()


@ALL
def test_a_log_in_dev_null_is_left_alone(command, schedulers):
    run(command, "/dev/null", "true")
    assert Path("/dev/null").is_char_device()


# -- run.pl only ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pick", "again", "code"), [("all", "1234", 1), ("failed", "234", 1), ("incomplete", "34", 1)])
def test_pick(pick, again, code, place):
    run("run.pl", "JOB=1:4", "log/f.JOB.log", "test", "JOB", "-ne", "2", code=1)
    text = Path("log/f.3.log").read_text()
    Path("log/f.3.log").write_text(text[: text.index("# Accounting")])
    Path("log/f.4.log").unlink()
    run("run.pl", "--pick", pick, "JOB=1:4", "log/f.JOB.log", "test", "JOB", "-ne", "2", "&&", "touch", "ranJOB", "||",
        "{", "touch", "ranJOB;", "exit", "1;", "}", code=code)  # fmt: skip
    assert sorted(p.name for p in Path().glob("ran*")) == [f"ran{n}" for n in again]


def test_pick_with_nothing_left_succeeds(place):
    run("run.pl", "JOB=1:2", "log/f.JOB.log", "true")
    run("run.pl", "--pick", "failed", "JOB=1:2", "log/f.JOB.log", "false")


@ALL
def test_pick_with_an_unknown_value_is_an_error(command, place):
    assert "--pick some" in run(command, "--pick", "some", "f.log", "true", code=1)


def most_at_once(*options, count=4, **environment):
    """How many jobs of an array ran at the same time, at most."""
    script = "echo + >> trace; sleep 0.3; echo - >> trace"
    run("run.pl", *options, f"JOB=1:{count}", "log/f.JOB.log", *script.split(" "), env={**os.environ, **environment})
    level = top = 0
    for line in Path("trace").read_text().split():
        level += 1 if line == "+" else -1
        top = max(top, level)
    return top


@pytest.mark.parametrize("spelling", ["--max-jobs-run", "-tc"])
def test_max_jobs_run(spelling, place):
    assert most_at_once(spelling, "3") == 3


def test_as_many_jobs_as_processors(place):
    processors = len(os.sched_getaffinity(0))
    assert most_at_once(count=processors + 2) == processors


def test_gpus_are_handed_out(place):
    assert most_at_once("--gpu", "1", CUDA_VISIBLE_DEVICES="3,5") == 2
    run("run.pl", "--gpu", "1", "JOB=1:4", "log/g.JOB.log", "echo", "gpu=$CUDA_VISIBLE_DEVICES", ";", "sleep", "0.2",
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "3,5"})  # fmt: skip
    used = [re.search(r"^gpu=(.*)$", Path(f"log/g.{n}.log").read_text(), re.MULTILINE)[1] for n in (1, 2, 3, 4)]
    assert sorted(used[:2]) == sorted(used[2:]) == ["3", "5"]


def test_two_gpus_for_each_job(place):
    environment = {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert most_at_once("--gpu", "2", **environment) == 2
    run("run.pl", "--gpu", "2", "f.log", "echo", "gpu=$CUDA_VISIBLE_DEVICES", env={**os.environ, **environment})
    assert "\ngpu=0,1\n" in Path("f.log").read_text()


def test_gpus_that_are_not_there(place):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    assert "no GPU is visible" in run("run.pl", "--gpu", "1", "f.log", "true", env=environment)
    environment["CUDA_VISIBLE_DEVICES"] = "0"
    assert "2" in run("run.pl", "--gpu", "2", "f.log", "true", code=1, env=environment)


def test_parallel_jobs_get_one_thread_each(place, monkeypatch):
    show = ["echo", "threads=${OMP_NUM_THREADS:-unset}"]
    run("run.pl", "--max-jobs-run", "2", "JOB=1:2", "f.JOB.log", *show)
    run("run.pl", "g.log", *show)
    assert "threads=1" in Path("f.1.log").read_text() and "threads=unset" in Path("g.log").read_text()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run("run.pl", "--max-jobs-run", "2", "JOB=1:2", "f.JOB.log", *show)
    assert "threads=3" in Path("f.1.log").read_text()


def gone(pid):
    """Whether a process ended, within five seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def started(path, seconds=10):
    """Wait for a file with a process number."""
    for _ in range(seconds * 20):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_pl_kills_its_children_and_their_children(number, place):
    # With a deaf grandchild it takes a SIGKILL.
    deaf = 'trap "" TERM;' if number == signal.SIGTERM else ""
    script = f"bash -c '{deaf} echo $$ > inner; sleep 60'; true"
    Path("job.sh").write_text(script)
    process = subprocess.Popen(
        words("run.pl", "JOB=1:2", "log/f.JOB.log", "bash", "job.sh"), stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
    )  # fmt: skip
    inner = started(Path("inner"))
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and b"stopped by" in said
    assert gone(inner)
    assert "# Ended" not in Path("log/f.1.log").read_text()


SIGNALS = """
import os, random, signal, sys, threading
sys.path.insert(0, sys.argv[1])
import submit
for _ in range(200):
    stop = submit.StopSignal()
    stop.catch()
    threading.Timer(random.random() * 0.004, os.kill, (os.getpid(), signal.SIGTERM)).start()
    while not stop.wait(0):
        pass
"""


def test_no_moment_is_bad_for_a_signal():
    subprocess.run([sys.executable, "-c", SIGNALS, str(UTILS)], timeout=60, check=True)


@pytest.mark.parametrize("launcher", [[], [UTILS.parent / "local/launch.sh", 2]])
def test_jobs_die_with_a_killed_run_pl(launcher, place):
    """Those of a training on several processes, too."""
    Path("job").write_text(
        "#!/bin/sh\necho $$ > pid.new.${RANK:-0}\nmv pid.new.${RANK:-0} pid.${RANK:-0}\nexec sleep 60\n"
    )
    Path("job").chmod(0o755)
    process = subprocess.Popen(words("run.pl", "log/f.log", *launcher, "./job"))
    pids = [started(Path(f"pid.{rank}"), 60) for rank in range(2 if launcher else 1)]
    process.kill()
    process.wait()
    assert all(gone(pid) for pid in pids)


# -- queue.pl and slurm.pl -----------------------------------------------------------------------------------------


def test_queue_pl_submits_one_array(schedulers):
    run("queue.pl", "--mem", "4G", "--num-threads", "2", "--time", "4:0:0", "--gpu", "1", "--max-jobs-run", "2",
        "JOB=2:4", "log/f.JOB.log", "true")  # fmt: skip
    (seen,) = submissions(schedulers)
    q = Path("log/q").absolute()
    assert seen[1:] == [
        *"-V -v PATH -cwd -S /bin/bash -j y -o".split(), f"{q}/f.log", *"-l gpu=1 -l mem_free=4G,ram_free=4G".split(),
        *"-pe smp 2 -l h_rt=4:0:0 -t 2:4 -tc 2".split(), f"{q}/f.sh",
    ]  # fmt: skip


def test_slurm_pl_submits_one_array(schedulers):
    run("slurm.pl", "--mem", "4G", "--num-threads", "2", "--time", "4:0:0", "--gpu", "1", "--max-jobs-run", "2",
        "JOB=2:4", "log/f.JOB.log", "true")  # fmt: skip
    (seen,) = submissions(schedulers)
    q = Path("log/q").absolute()
    assert seen[1:] == [
        "--export=ALL", "--output", f"{q}/f.log", "--open-mode=append", "--gres=gpu:1", "--mem=4G",
        "--cpus-per-task=2", "--time=4:0:0", "--array", "2-4%2", f"{q}/f.sh",
    ]  # fmt: skip


@CLUSTER
def test_no_array_without_a_range_and_no_digit_first(command, schedulers):
    run(command, "log/1.log", "true")
    (seen,) = submissions(schedulers)
    assert not {"-t", "--array"} & set(seen) and seen[-1].endswith("/q/j1.sh")


@CLUSTER
def test_job_sources_path_sh(command, schedulers):
    Path("path.sh").write_text("export FROM_PATH=yes\nset -eu\n")
    run(command, "JOB=1:2", "log/f.JOB.log", "test", "$FROM_PATH", "=", "yes", "-a", "JOB", "=", "1", code=1)
    assert "Ended (code 0)" in Path("log/f.1.log").read_text()
    assert "Ended (code 1)" in Path("log/f.2.log").read_text()


CONFIG = """
# comment
command CMD --flag 'two words'      # exactly one
option mem=* -l mem_free=$0,ram_free=$0  # $0 is the value
option mem=0
option gpu=0
option gpu=* -l gpu=$0
default gpu=0
default mem=1G
option odd=x --odd
"""


def configured(command, schedulers, *options, text=CONFIG, code=0, name="site.conf"):
    """Submit with a configuration; the options the scheduler saw, or what was said when refused."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text.replace("CMD", "qsub" if command == "queue.pl" else "sbatch"))
    said = run(command, *options, "log/f.log", "true", code=code)
    if code:
        return said
    seen = submissions(schedulers)[-1]
    mine = {"-o", "--output", "--open-mode=append"}
    return [word for word in seen[1:-1] if word not in mine and "/q/" not in word]


@CLUSTER
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "-l mem_free=1G,ram_free=1G"),
        (["--mem", "0"], ""),
        (["--mem", "3G", "--gpu", "2"], "-l gpu=2 -l mem_free=3G,ram_free=3G"),
        (["--odd", "x", "--mem", "0"], "--odd"),
    ],
)
def test_configuration(command, options, expected, schedulers):
    seen = configured(command, schedulers, "--config", "site.conf", *options)
    assert seen == ["--flag", "two words", *expected.split()]


@CLUSTER
@pytest.mark.parametrize(("options", "shown"), [(["--disk", "9"], ("disk", "9")), (["--odd", "y"], ("odd", "y"))])
def test_undescribed_option(command, options, shown, schedulers):
    said = configured(command, schedulers, "--config", "site.conf", *options, code=1)
    assert f"Command line option {shown[0]} not described in site.conf (or value '{shown[1]}' not allowed)" in said
    assert not (schedulers / "submissions").exists()


@CLUSTER
def test_default_configuration_file(command, schedulers):
    name = f"conf/{command.removesuffix('.pl')}.conf"
    assert configured(command, schedulers, name=name) == ["--flag", "two words", "-l", "mem_free=1G,ram_free=1G"]
    shipped = UTILS.parent / "conf" / Path(name).name
    assert f"Command line option disk not described in {shipped}" in run(
        command, "--disk", "1", "f.log", "true", code=1, cwd=schedulers
    )
    assert "nope.conf does not exist" in run(command, "--config", "nope.conf", "f.log", "true", code=1)


@CLUSTER
@pytest.mark.parametrize(
    "text", ["option gpu=0\n", "command a\ncommand b\n", "command a\noptions x\n", "command a 'b\n"]
)
def test_malformed_configuration(command, text, schedulers):
    assert "site.conf" in configured(command, schedulers, "--config", "site.conf", text=text, code=1)


@CLUSTER
def test_configurations_of_kaldi_sites_are_read(command, schedulers):
    text = """
command CMD -l 'hostname=[bc]*' $EXTRA
option max_jobs_run=*     # Do nothing
option num_threads=1  # Do not add anything to qsub_opts
option gpu=0 -p shared
option gpu=* -p gpu --gres=gpu:$0
default gpu=0
"""
    os.environ["EXTRA"] = "--expanded"
    try:
        seen = configured(command, schedulers, "--config", "site.conf", "--max-jobs-run", "3", text=text)
    finally:
        del os.environ["EXTRA"]
    assert seen == ["-l", "hostname=[bc]*", "--expanded", "-p", "shared"]


@CLUSTER
@pytest.mark.parametrize(("refusals", "code", "tries"), [(4, 0, 5), (5, 1, 5)])
def test_a_refused_submission_is_tried_again(command, refusals, code, tries, schedulers):
    (schedulers / "refuse").write_text(str(refusals))
    assert "refused: too busy" in run(command, "log/f.log", "true", code=code)
    assert len(submissions(schedulers)) == tries


@CLUSTER
def test_a_vanished_task_is_a_failed_one(command, schedulers):
    run(command, "JOB=1:3", "log/f.JOB.log", "true")
    (schedulers / "lose").write_text("2")
    said = run(command, "JOB=1:3", "log/f.JOB.log", "true", code=1)
    assert "1 / 3 failed" in said and "the scheduler no longer knows task 2 of job 78" in said
    # Should it run nevertheless, nothing must meet it.
    assert (schedulers / "cancelled").read_text() == "78\n"
    (schedulers / "lose").unlink()
    run(command, "--pick", "failed", "JOB=1:3", "log/f.JOB.log", "true")
    assert {"2:2", "2-2"} & set(submissions(schedulers)[-1])


def starts(command, *args):
    """A submitter that is not waited for."""
    return subprocess.Popen(words(command, *args), stderr=subprocess.PIPE, text=True)


def next_line(process):
    """What it says next, within twenty seconds."""
    assert select.select([process.stderr], [], [], 20)[0]
    return process.stderr.readline()


UNTIL_GO = ["while", "[", "!", "-e", "go", "];", "do", "sleep", "0.05;", "done"]


@CLUSTER
def test_a_vanished_task_is_reported_while_the_others_run_on(command, schedulers):
    (schedulers / "lose").write_text("3")
    process = starts(command, "JOB=1:5", "log/f.JOB.log", *UNTIL_GO)
    assert next_line(process) == f"{command}: vanished, see log/f.3.log\n"
    assert process.poll() is None and not (schedulers / "cancelled").exists()
    Path("go").touch()
    assert process.wait(20) == 1 and f"{command}: 1 / 5 failed" in process.stderr.read()
    assert "# Ended (code 0)" in Path("log/f.5.log").read_text()


@pytest.mark.parametrize(("command", "trouble"), [("slurm.pl", "trouble"), ("queue.pl", "slow")])
def test_a_scheduler_that_does_not_answer_says_nothing_about_the_job(command, trouble, schedulers):
    (schedulers / "lose").write_text("1")
    (schedulers / trouble).write_text("squeue: error: some new words")
    process = starts(command, "JOB=1:1", "log/f.JOB.log", "true")
    time.sleep(2.5)
    assert process.poll() is None and not (schedulers / "cancelled").exists()
    (schedulers / trouble).unlink()
    assert process.wait(20) == 1 and "vanished" in process.stderr.read()


@pytest.mark.parametrize(
    ("command", "state", "why"),
    [
        ("slurm.pl", "PENDING launch failed requeued held", "launch failed"),
        ("queue.pl", "Eqw", "error reason    1:  can't chdir to /nowhere"),
    ],
)
def test_why_a_job_does_not_start_is_said_once(command, state, why, schedulers):
    (schedulers / "state").write_text(state)
    process = starts(command, "log/f.log", *UNTIL_GO)
    said = next_line(process)
    assert said.startswith(f"{command}: job 77 does not start: ") and why in said
    Path("go").touch()
    assert process.wait(20) == 0 and process.stderr.read() == ""


@CLUSTER
@pytest.mark.parametrize("moment", ["waiting", "submitting"])
def test_the_job_of_a_killed_submitter_is_cancelled_before_the_next(command, moment, schedulers):
    if moment == "submitting":
        (schedulers / "busy").touch()
    process = starts(command, "JOB=1:2", "log/f.JOB.log", "echo", "$$", ">", "pid;", "sleep", "60")
    pid = started(Path("pid"))
    process.kill()
    process.wait()
    (schedulers / "busy").unlink(missing_ok=True)
    # Other logs are others' work.
    run(command, "log/f.abcdefgh.log", "true")
    assert not (schedulers / "cancelled").exists()
    said = run(command, "JOB=1:2", "log/f.JOB.log", "true")
    assert said == f"{command}: an earlier {command} was killed; its job 77 is cancelled first\n"
    assert (schedulers / "cancelled").read_text() == "77\n" and gone(pid)
    assert sorted(p.name for p in Path("log/q").glob("f.[ls]*")) == ["f.log", "f.sh"] and not list(
        Path("log/q").glob("*.ends")
    )


def test_a_signal_ends_the_wait_for_the_job_of_a_killed_submitter(schedulers):
    process = starts("slurm.pl", "log/f.log", "sleep", "60")
    while not any(path.read_text() for path in Path().glob("log/q/*.ends/.job")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    (schedulers / "trouble").write_text("squeue: error: some new words")
    process = starts("slurm.pl", "log/f.log", "true")
    assert "was killed" in next_line(process)
    process.terminate()
    assert process.wait(20) == 2 and len(submissions(schedulers)) == 1
    assert len(list(Path().glob("log/q/*.ends"))) == 1  # for the next try


@CLUSTER
def test_the_job_of_a_submitter_that_lives_is_left_alone(command, schedulers):
    process = starts(command, "JOB=1:1", "log/f.JOB.log", *UNTIL_GO)
    while not (schedulers / "task.77.1").exists():
        time.sleep(0.05)
    assert run(command, "log/f.log", "true") == ""
    Path("go").touch()
    assert process.wait(20) == 0 and not (schedulers / "cancelled").exists()


@CLUSTER
def test_a_task_that_starts_when_its_submitter_is_gone_does_nothing(command, schedulers):
    run(command, "log/f.log", "touch", "ran")
    Path("ran").unlink()
    (schedulers / "sleep").symlink_to("/bin/true")
    assert subprocess.run(["bash", "log/q/f.sh"]).returncode == 1
    assert not Path("ran").exists()


def test_a_task_that_slurm_ends_may_write_its_checkpoint_and_is_waited_for(schedulers):
    """Its processes get SIGTERM; what still runs when the job's script has ended is killed, and the job runs again."""
    Path("job").write_text(
        "trap 'sleep 1; echo whole > checkpoint; exit 143' TERM\n[ ! -e checkpoint ] || exit 0\necho $$ > pid\nsleep 60"
        " & wait\n"
    )
    process = starts("slurm.pl", "JOB=1:1", "log/f.JOB.log", "true;", "bash", "job;", "echo", "$?")
    pid = started(Path("pid"))
    group = int((schedulers / "group.77").read_text())
    script = int(re.search(r"^PPid:\t(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])
    script = int(re.search(r"^PPid:\t(\d+)", Path(f"/proc/{script}/status").read_text(), re.MULTILINE)[1])
    os.killpg(group, signal.SIGTERM)
    assert gone(script)
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
    assert Path("checkpoint").exists() and process.poll() is None
    log = Path("log/f.1.log").read_text()
    assert "# Stopped by SIGTERM at " in log and "# Ended" not in log and "\n143\n" not in log
    subprocess.run(["bash", "log/q/f.sh"], env=os.environ | {"SLURM_ARRAY_TASK_ID": "1"}, check=True)
    assert process.wait(20) == 0, process.stderr.read()


@CLUSTER
def test_when_the_submitter_cannot_go_on_the_job_is_cancelled(command, schedulers):
    said = run(command, "log/f.log", "echo", "$$", ">", "pid;", "rm", "-r", "log/q;", "sleep", "60", code=1)
    assert (
        said.startswith(f"{command}: cannot write /")
        and "(No such file or directory)" in said
        and said.count("\n") == 1
    )
    assert (schedulers / "cancelled").read_text() == "77\n" and gone(int(Path("pid").read_text()))


@CLUSTER
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job(command, number, schedulers):
    process = subprocess.Popen(words(command, "JOB=1:2", "log/f.JOB.log", "echo", "$$", ">", "pid;", "sleep", "60"))
    pid = started(Path("pid"))
    process.send_signal(number)
    assert process.wait(timeout=20) == 2
    assert (schedulers / "cancelled").read_text() == "77\n" and gone(pid)


@CLUSTER
def test_it_blocks_until_every_task_ended_and_leaves_no_marks(command, schedulers):
    run(command, "JOB=1:2", "log/f.JOB.log", "sleep", "0.5;", "touch", "done.JOB")
    assert Path("done.1").exists() and Path("done.2").exists()
    assert sorted(p.name for p in Path("log/q").iterdir()) == ["f.log", "f.sh"]


def test_missing_submit_command_is_one_sentence(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    said = run("slurm.pl", "log/f.log", "true", code=1)
    assert said.startswith("slurm.pl: cannot run sbatch") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("backend", "expected"),
    [("local", "run.pl"), ("slurm", "slurm.pl --config ../../conf/slurm.conf"),
     ("sge", "queue.pl --config ../../conf/queue.conf")],
)  # fmt: skip
def test_cmd_sh(backend, expected, tmp_path):
    show = (
        f'. {UTILS.parent}/conf/cmd.sh; echo "$cmd"; [ "$train_cmd" != "" ] && [ "$decode_cmd" != "" ] && [ "$cuda_cmd"'
        ' != "" ]'
    )
    environment = {**os.environ, "cmd_backend": backend}
    done = subprocess.run(["bash", "-euc", show], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, expected)
    environment["cmd_backend"] = "pbs"
    done = subprocess.run(["bash", "-euc", show], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "local, slurm or sge" in done.stderr


def test_path_sh(tmp_path):
    recipe = UTILS.parent / "egs"
    show = (
        ". ../path.sh; . ../path.sh; echo"
        ' "$SALIENCE_ROOT|$PATH|$PYTHONPATH|$LC_ALL|$PYTHONUTF8|${OMP_NUM_THREADS-unset}"'
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-euc", show], cwd=recipe, env=environment, capture_output=True, text=True, check=True
    )
    top = UTILS.parent
    assert done.stdout.strip() == f"{top}|{top}/.venv/bin:{top}/utils:{top}/local:/usr/bin:/bin|{top}/local|C|1|unset"
