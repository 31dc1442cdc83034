"""The command-line contract of slurm.pl and queue.pl on a real Slurm and a real Grid Engine."""

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from engines import Engine, submitted, wait_for

DATE = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}"


def test_an_array(engine, place):
    """Every line of the logs, working directory, path.sh, and the environment with whatever a value may hold."""
    Path("path.sh").write_text("export FROM_PATH=sourced\n")
    odd = "two words, a = b;\n'a second line' $HOME \"é\""
    show = [
        "--num-threads",
        "2",
        "JOB=1:3",
        "log/x.JOB.log",
        "echo",
        "JOB:",
        "$FROM_PATH;",
        "pwd;",
        "echo",
        '"$ODD";',
        "echo",
        "wrong",
        ">&2",
    ]
    engine.run(*show, ODD=odd)
    for task in (1, 2, 3):
        log = Path(f"log/x.{task}.log").read_text()
        assert re.fullmatch(
            rf"# Running on \S+\n# echo {task}: \$FROM_PATH; pwd; echo \"\$ODD\"; echo wrong >&2\n# Started at"
            rf" {DATE}\n#\n"
            rf"{task}: sourced\n{re.escape(str(place))}\n{re.escape(odd)}\nwrong\n"
            rf"# Accounting: time=\d+ threads=2\n# Ended \(code 0\) at {DATE}, elapsed time \d+ seconds\n",
            log,
        ), log
    assert sorted(p.name for p in Path("log/q").iterdir()) == ["x.log", "x.sh"]


def test_one_job_with_pipes_and_a_name_that_begins_with_a_digit(engine, place):
    engine.run(
        "log/1 and 2.log",
        "echo",
        "a",
        "|",
        "tr",
        "a",
        "b",
        ">",
        "out;",
        "printf",
        "[%s]",
        "two words",
        "$UNSET",
        "\"q\" 's'",
    )
    assert Path("out").read_text() == "b\n"
    assert "\n[two words][\"q\" 's']\n" in Path("log/1 and 2.log").read_text()


def test_what_failed_in_an_array_can_be_run_again_alone(engine, place):
    """Which, why, how to go on, exit code 1; and what runs again is an array with a hole."""
    said = engine.run(
        "JOB=1:4",
        "log/f.JOB.log",
        "echo",
        "cause",
        "JOB;",
        "test",
        "$((JOB % 2))",
        "=",
        "1",
        "-o",
        "-e",
        "mended",
        code=1,
    )
    assert f"{engine.submitter}: 2 / 4 failed, log is in log/f.*.log\n" in said
    assert "the last lines of log/f.2.log:\n" in said and "\n    cause 2\n" in said and "# Ended (code 1)" in said
    again = re.search(r"to run only what failed again: (.*)", said)[1]
    before = {n: Path(f"log/f.{n}.log").stat().st_mtime_ns for n in (1, 2, 3, 4)}
    Path("mended").touch()
    subprocess.run(["bash", "-c", again], cwd="/", env=engine.environment, timeout=120, check=True)
    after = {n: Path(f"log/f.{n}.log").stat().st_mtime_ns for n in (1, 2, 3, 4)}
    assert [n for n in before if before[n] != after[n]] == [2, 4]


def test_a_long_command_and_names_of_the_job_script_in_the_environment(engine, place):
    own = dict.fromkeys(
        ["stopped", "ends", "task", "command", "log", "result", "NO_TASK", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_JOB_ID"],
        "7",
    )
    words = ["echo", "$log", "$result;", "echo", *["word"] * 40000, "|", "wc", "-w"]
    engine.run("log/long.log", *words, **own)
    engine.run("JOB=1:2", "log/array.JOB.log", *words, **own)
    for name in ("long", "array.1", "array.2"):
        assert "\n7 7\n40000\n# Accounting" in Path(f"log/{name}.log").read_text()


def most_at_once(engine: Engine, *options: object, tasks: int) -> int:
    """How many jobs of an array ran at the same time, at most."""
    trace = Path("trace")
    engine.run(*options, f"JOB=1:{tasks}", "log/m.JOB.log", *"echo + >> trace; sleep 1.5; echo - >> trace".split(" "))
    level = top = 0
    for line in trace.read_text().split():
        level += 1 if line == "+" else -1
        top = max(top, level)
    return top


def test_max_jobs_run(engine, place):
    assert most_at_once(engine, "--max-jobs-run", 2, tasks=4) == 2


def test_gpus_limit_what_runs_at_once(engine, place):
    """There are two pretended GPUs a host: two hosts of Slurm's, one of Grid Engine's."""
    assert most_at_once(engine, "--gpu", 2, tasks=3) == (2 if engine.backend == "slurm" else 1)


def test_slurm_says_which_gpus_are_the_jobs(slurm, place):
    slurm.run("--gpu", 2, "log/g.log", "echo", "gpus=$CUDA_VISIBLE_DEVICES")
    slurm.run("--gpu", 0, "log/n.log", "echo", "gpus=$CUDA_VISIBLE_DEVICES")
    assert "\ngpus=0,1\n" in Path("log/g.log").read_text() and "\ngpus=\n" in Path("log/n.log").read_text()


RESOURCES = ["--mem", "2G", "--num-threads", "2", "--time", "0:10:0", "--gpu", "1"]


def test_resources_reach_slurm(slurm, place):
    slurm.run(*RESOURCES, "log/r.log", "scontrol", "show", "job", "$SLURM_JOB_ID;", "echo", "threads=$OMP_NUM_THREADS")
    log = Path("log/r.log").read_text()
    for words in (
        "MinMemoryNode=2G",
        "NumCPUs=2",
        "TimeLimit=00:10:00",
        "gres:gpu:1",
        "Partition=everyone",
        "threads=2",
    ):
        assert re.search(rf"\b{re.escape(words)}\b", log), (words, log)


def test_resources_reach_grid_engine(grid_engine, place):
    grid_engine.run(*RESOURCES, "log/r.log", "qstat", "-j", "$JOB_ID;", "echo", "threads=$OMP_NUM_THREADS")
    log = Path("log/r.log").read_text()
    for words in ("mem_free=2G", "ram_free=2G", "h_rt=600", "gpu=1", "smp range: 2", "threads=2"):
        assert words in log, (words, log)


SITE = {
    "slurm": (
        """
# As sites have it for Kaldi.
command sbatch --export=PATH
option time=* --time $0
option mem=* --mem-per-cpu $0
option mem=0          # Do not add anything to qsub_opts
option num_threads=* --cpus-per-task $0 --ntasks-per-node=1
option num_threads=1 --cpus-per-task 1  --ntasks-per-node=1
option max_jobs_run=*     # Do nothing
default gpu=0
option gpu=0 -p everyone
option gpu=* -p gpu --gres=gpu:$0
option queue=* --partition=$0 --comment 'the site''s own'
"""
    ),
    "sge": (
        """
# As sites have it for Kaldi.
command qsub -v PATH -cwd -S /bin/bash -j y -l arch=*64*
option mem=* -l mem_free=$0,ram_free=$0
option mem=0          # Do not add anything to qsub_opts
option num_threads=* -pe smp $0
option num_threads=1  # Do not add anything to qsub_opts
option max_jobs_run=* -tc $0
default gpu=0
option gpu=0 -q all.q
option gpu=* -l gpu=$0 -q all.q
option queue=* -q $0 -A 'the_site'
"""
    ),
}


def test_a_sites_own_configuration(engine, place):
    Path("conf").mkdir()
    Path("conf/slurm.conf" if engine.backend == "slurm" else "conf/queue.conf").write_text(SITE[engine.backend])
    if engine.backend == "slurm":
        show, words = (
            ["scontrol", "show", "job", "$SLURM_JOB_ID"],
            ["Partition=gpu", "Comment=the sites own", "MinMemoryCPU=1G"],
        )
        queue = "gpu"
    else:
        show, words = ["qstat", "-j", "$JOB_ID"], ["account:                    the_site", "all.q", "arch=*64*"]
        queue = "all.q"
    engine.run("--queue", queue, "--mem", "1G", "--max-jobs-run", 3, "N=1:2", "log/s.N.log", *show)
    log = Path("log/s.2.log").read_text()
    assert all(word in log for word in words), log
    assert "option disk not described in conf/" in engine.run("--disk", "1", "log/s.log", "true", code=1)


def test_only_path_arrives_where_a_site_passes_nothing_else(engine, place):
    """A site's `--export=PATH` or `-v PATH` is obeyed, and path.sh makes the rest."""
    Path("site.conf").write_text(SITE[engine.backend])
    Path("path.sh").write_text("export FROM_PATH=sourced\n")
    engine.run("--config", "site.conf", "log/e.log", "echo", "[$MY_OWN][$FROM_PATH]", MY_OWN="thing")
    assert "\n[][sourced]\n" in Path("log/e.log").read_text()


def running(path: str) -> int:
    """The process that a job says it is."""
    return wait_for(
        f"{path} with a number",
        lambda: Path(path).exists() and Path(path).read_text().strip() and int(Path(path).read_text()),
    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


SLEEP = ["echo", "$$", ">", "pid.JOB.new;", "mv", "pid.JOB.new", "pid.JOB;", "sleep", "300"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_what_was_submitted(engine, place, number):
    # One of the two tasks waits in the queue.
    process = engine.start("--max-jobs-run", 1, "JOB=1:2", "log/c.JOB.log", *SLEEP)
    pid = running("pid.1")
    job = engine.jobs()
    assert job
    process.send_signal(number)
    assert process.wait(20) == 2 and "was cancelled" in process.stderr.read()
    wait_for("the end of the job", lambda: not set(job) & set(engine.jobs()))
    wait_for("the end of its process", lambda: not is_alive(pid))
    assert not Path("pid.2").exists()


def test_the_job_of_a_killed_submitter_is_cancelled_before_the_next(engine, place):
    """Tasks that run, and one that waits."""
    process = engine.start("--max-jobs-run", 1, "JOB=1:2", "log/k.JOB.log", *SLEEP)
    pid = running("pid.1")
    process.kill()
    process.wait()
    job = submitted("log/q/k.log")
    said = engine.run("JOB=1:2", "log/k.JOB.log", "echo", "anew")
    assert f"an earlier {engine.submitter} was killed; its job {job} is cancelled first" in said
    assert not is_alive(pid) and not Path("pid.2").exists() and "\nanew\n" in Path("log/k.2.log").read_text()
    assert sorted(p.name for p in Path("log/q").iterdir()) == ["k.log", "k.sh"]


def test_a_job_that_vanished_is_noticed_within_a_minute(engine, place):
    """One cancelled by others, one killed with all its processes, one that takes too long, one of an array."""

    def sleeper(name: str, *options: str) -> subprocess.Popen[str]:
        return engine.start(
            "--config",
            "once.conf",
            *options,
            f"log/{name}.log",
            "echo",
            "$$",
            ">",
            f"{name}.new;",
            "mv",
            f"{name}.new",
            f"{name};",
            "sleep",
            "300",
        )

    # A site that lets Slurm start lost jobs again would see it run once more.
    Path("once.conf").write_text(
        "command sbatch --export=ALL --no-requeue\n"
        if engine.backend == "slurm"
        else "command qsub -V -cwd -S /bin/bash -j y\noption time=* -l h_rt=$0\n"
    )
    cancelled = sleeper("cancelled")
    pid = running("cancelled")
    engine.cancel(submitted("log/q/cancelled.log"))
    killed = sleeper("killed")
    doomed = running("killed")
    family = ancestors(doomed)
    names = [Path(f"/proc/{p}/comm").read_text().strip() for p in family]
    # Slurm itself takes minutes to miss a slurmstepd; Grid Engine's daemon goes with its job.
    last = names.index("sge_shepherd") + 1 if engine.backend == "sge" else names.index("slurmstepd")
    for member in [*reversed(family[:last]), *children(doomed)]:
        os.kill(member, signal.SIGKILL)
    processes = [cancelled, killed]
    if engine.backend == "sge":
        # Slurm's shortest limit is a minute.
        processes.append(sleeper("long", "--time", "0:0:3"))
    array = engine.start(
        "--config",
        "once.conf",
        "JOB=1:2",
        "log/array.JOB.log",
        "touch",
        "began.JOB;",
        "while",
        "[",
        "!",
        "-e",
        "go",
        "];",
        "do",
        "sleep",
        "0.2;",
        "done",
    )
    wait_for("the array", lambda: all(Path(f"began.{task}").exists() for task in (1, 2)))
    engine.cancel(submitted("log/q/array.log"), task=2)
    began = time.monotonic()
    assert (
        select.select([array.stderr], [], [], 60)[0]
        and array.stderr.readline() == f"{engine.submitter}: vanished, see log/array.2.log\n"
    )
    assert array.poll() is None
    Path("go").touch()
    processes.append(array)
    for process in processes:
        assert process.wait(began + 60 - time.monotonic()) == 1, (process.args, engine.jobs())
        said = process.stderr.read()
        expected = (
            ("1 / 2 failed", "no longer knows task 2 of job")
            if process is array
            else ("job failed, log is in", "no longer knows job")
        )
        assert all(words in said for words in expected), said
    wait_for("the end of its process", lambda: not is_alive(pid))


def ancestors(pid: int) -> list[int]:
    """A process, and those above it."""
    found = [pid]
    while found[-1] > 1:
        found.append(int(Path(f"/proc/{found[-1]}/stat").read_text().rpartition(")")[2].split()[1]))
    return found


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [
        int(number)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for number in (task / "children").read_text().split()
    ]
