"""What queue.pl and slurm.pl share: configuration, the job's script, submission, and waiting for the end.

Every task ends by leaving a file named after its exit code in a folder that
the submitter watches, so the answer depends neither on the log's text nor on
the scheduler's accounting.  The scheduler is asked now and then which tasks it
still knows: one that it does not list and that left no file has vanished.
The folder also holds the job's number, so that a run after a submitter that
was killed finds what that one left in the queue.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import submit

RETRY_AFTER = (1.0, 3.0, 9.0, 27.0)  # seconds to wait before each new try of a refused submission
JOB_NUMBER = ".job"  # the file with the job's number among those that tasks leave
MAX_PAUSE = 2.0  # seconds between two looks for ended tasks, at most
ASK_FIRST = 1.0  # seconds between two questions to the scheduler, at first and when a task is missing
ASK_EVERY = 30.0  # seconds between two questions to the scheduler, at most
PATIENCE = 30.0  # seconds that the scheduler may take to answer a question
GRACE = 15.0  # seconds that a network file system may take to show the end of a task that the scheduler has forgotten
SHIPPED = Path(__file__).resolve().parent.parent / "conf"


@dataclass(frozen=True)
class Scheduler:
    """How to talk to one scheduler; in a list of words, the empty one stands for the job's number."""

    config: str  # the configuration file, in conf/ here or else as it is shipped, unless --config names another
    ignored: tuple[str, ...]  # one-dash options that make no sense here
    log_options: Callable[[Path], list[str]]
    array_options: Callable[[list[int], int | None], list[str]]  # from the sorted tasks of an array and --max-jobs-run
    task_variable: str
    job_number: str  # the job's number, for a shell in the job
    array_number: str  # the same, in a task of an array
    job_id: str  # finds the job's number in what the submission prints
    query: list[str]  # lists what is known of the job
    known: Callable[[str, str], dict[int, str]]
    """From that answer and the job's number: the state of each unfinished task; task 1 is a job that is no array."""
    gone: str  # finds the query's error for an unknown job; other errors say nothing about it
    stuck: str  # finds the states of a task that will not start by itself
    details: list[str]  # says why, where the state does not
    cancel: str


def grid_engine_tasks(answer: str, job: str) -> dict[int, str]:
    """Read the list of `qstat -xml`; waiting tasks are there as ranges such as `1-7:2,9`."""
    found = {}
    for entry in re.findall(rf"<JB_job_number>{job}</JB_job_number>.*?</job_list>", answer, re.DOTALL):
        state = re.search(r"<state>(\w*)</state>", entry)
        ranges = re.search(r"<tasks>([\d,:-]+)</tasks>", entry)
        for part in ranges[1].split(",") if ranges else ["1"]:
            if numbers := re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part):
                first, last, step = int(numbers[1]), int(numbers[2] or numbers[1]), int(numbers[3] or 1)
                found |= dict.fromkeys(range(first, last + 1, step), state[1] if state else "")
    return found


def slurm_tasks(answer: str, job: str) -> dict[int, str]:
    """Read lines of `<task> <state> <reason>`; squeue goes on listing tasks that ended, for minutes."""
    over = r"(COMPLETED|CANCELLED|FAILED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY|DEADLINE|BOOT_FAIL|PREEMPTED|REVOKED)\b"
    lines = [line.split(None, 1) for line in answer.splitlines() if line.strip()]
    return {int(task) if task.isdecimal() else 1: state for task, state in lines if not re.match(over, state)}


def slurm_array(tasks: list[int], limit: int | None) -> list[str]:
    """A range when the tasks are one, else a list."""
    whole = len(tasks) == tasks[-1] - tasks[0] + 1
    wanted = f"{tasks[0]}-{tasks[-1]}" if whole else ",".join(map(str, tasks))
    return ["--array", wanted + (f"%{limit}" if limit else "")]


SCHEDULERS = {
    "queue.pl": Scheduler(
        config="queue.conf",
        ignored=("-sync",),
        log_options=lambda log: ["-o", str(log)],
        # Grid Engine's arrays have no gaps: the script skips the tasks between that are not wanted.
        array_options=lambda tasks, limit: ["-t", f"{tasks[0]}:{tasks[-1]}", *(["-tc", str(limit)] if limit else [])],
        task_variable="SGE_TASK_ID",
        job_number="$JOB_ID",
        array_number="$JOB_ID",
        job_id=r"(?:[Yy]our job(?:-array)? |^)(\d+)",
        query=["qstat", "-xml"],  # unlike `qstat -j`, it says which tasks there still are
        known=grid_engine_tasks,
        gone=r"(?!)",  # an unknown job is one that the list lacks
        stuck="E",
        details=["qstat", "-j", ""],
        cancel="qdel",
    ),
    "slurm.pl": Scheduler(
        config="slurm.conf",
        ignored=("-V", "-sync", "-pe"),  # Grid Engine's: -V would make sbatch print its version
        # `%` begins a pattern there.
        log_options=lambda log: ["--output", str(log).replace("%", "%%"), "--open-mode=append"],
        array_options=slurm_array,
        task_variable="SLURM_ARRAY_TASK_ID",
        job_number="$SLURM_JOB_ID",
        array_number="$SLURM_ARRAY_JOB_ID",
        job_id=r"(?:Submitted batch job |^)(\d+)",
        query=["squeue", "-r", "-h", "-j", "", "-o", "%K %T %r"],  # -r: each task of an array has a line
        known=slurm_tasks,
        gone="Invalid job id specified",
        stuck="launch failed",
        details=[],
        cancel="scancel",
    ),
}


def run(request: submit.Request) -> int:
    """Submit the request's tasks as one job and wait until each has ended; returns the exit code."""
    return Submission(request).run()


class Submission:
    """The tasks of one request on the scheduler that its program speaks to."""

    def __init__(self, request: submit.Request) -> None:
        self.request, self.scheduler = request, SCHEDULERS[request.program]
        self.tasks, self.codes = request.to_run()
        self.folder, self.base = queue_place(request)
        self.log = self.folder / f"{self.base}.log"
        self.stop = submit.StopSignal()

    def run(self) -> int:
        """See `run` of this module."""
        request, words = self.request, self.words()
        submit.make_log_dirs(request, self.tasks)
        if not self.tasks:
            return submit.conclude(request, self.codes)
        self.stop.catch()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.end_leftovers()
            for task in self.tasks:
                # Without this, the log of an earlier run would speak for a task that never started.
                if request.log_of(task).is_file():
                    request.log_of(task).unlink()
            ends = Path(tempfile.mkdtemp(prefix=f"{self.base}.", suffix=".ends", dir=self.folder))
            try:
                return self.run_tasks(words, ends)
            finally:
                shutil.rmtree(ends, ignore_errors=True)
        except OSError as error:
            raise submit.UsageError(submit.unwritable(error.filename or self.folder, error)) from None

    def run_tasks(self, words: list[str], ends: Path) -> int:
        """Submit, wait and conclude."""
        script = self.folder / f"{self.base}.sh"
        script.write_text(self.script(ends), encoding="utf-8", errors="surrogateescape")
        self.log.write_text("")
        with open(ends / JOB_NUMBER, "w", encoding="utf-8") as number:
            lock(number, fcntl.LOCK_EX)  # as long as this process lives
            job = self.submit([*words, str(script)], number)
            if job and not self.stop.is_set():
                try:
                    self.codes |= self.wait(job, ends)
                except BaseException:
                    self.cancel(job)
                    raise
        if self.stop.is_set():
            outcome = "was" if job is None or self.cancel(job) else "could not be"
            self.request.say(f"stopped, job {job or '(none yet)'} {outcome} cancelled")
            return 2
        if job is None:
            return 1
        if any(self.codes.values()):
            self.say_if_full(ends)
        return submit.conclude(self.request, self.codes)

    def end_leftovers(self) -> None:
        """Cancel the jobs of submitters that were killed, and wait until they are gone: they write the same files."""
        for ends in sorted(self.folder.glob(f"{glob.escape(self.base)}.*.ends")):
            # Not those of the log `x.y` before the log `x` is written.
            if not re.fullmatch(r"\w{8}", ends.name[len(self.base) + 1 : -len(".ends")]):
                continue
            job = left_job(ends)
            if job is None:
                continue
            cancelled = False
            while job and not self.stop.is_set() and self.ask(job) != {}:
                if not cancelled:
                    program = self.request.program
                    self.request.say(f"an earlier {program} was killed; its job {job} is cancelled first")
                    cancelled = self.cancel(job)
                self.stop.wait(ASK_FIRST)
            if not self.stop.is_set():
                shutil.rmtree(ends, ignore_errors=True)

    def words(self) -> list[str]:
        """The submission's words but for the script: command, logs, options and the array."""
        command, resources = configured(self.request.options, self.scheduler)
        words = [*command, *self.scheduler.log_options(self.log), *resources]
        native = list(self.request.native)
        while native:
            count = {"-V": 1, "-pe": 3}.get(native[0], 2)
            if native[0] not in self.scheduler.ignored:
                words += native[:count]
            del native[:count]
        if self.request.name and self.tasks:
            words += self.scheduler.array_options(self.tasks, self.request.limit())
        return words

    def script(self, ends: Path) -> str:
        """The script of all tasks.  The number replaces the range's name in the caller's words only."""
        request, scheduler = self.request, self.scheduler
        threads = request.options.get("num_threads", "1")
        if not threads.isdecimal():
            raise submit.UsageError(f"invalid option --num-threads {threads}: it takes a number")
        # A job that is no array has no task number of its own, but may inherit that of a job that submitted it.
        values = {
            "name": shlex.quote(request.name or ""),
            "task": f"${scheduler.task_variable}" if request.name else "1",
            "job": scheduler.array_number if request.name else scheduler.job_number,
            "ends": shlex.quote(str(ends)),
            "wanted": shlex.quote(f" {' '.join(map(str, self.tasks))} "),
            "folder": shlex.quote(os.getcwd()),
            "command": shlex.quote(submit.quoted(request.words)),
            "log": shlex.quote(request.log),
            "threads": threads,
        }
        variables = "".join(f"_salience_{name}={value}\n" for name, value in values.items())
        return (
            f"#!/usr/bin/env bash\n# Written by {request.program}.  Each task of the job runs it.\n{variables}{SCRIPT}"
        )

    def submit(self, words: list[str], number: IO[str]) -> str | None:
        """Submit, again after a refusal; the job's number, or None when it was refused every time."""
        for pause in (*RETRY_AFTER, None):
            if self.stop.is_set():
                return None
            try:
                # In a session of its own: Ctrl-C must not leave us without the number of a job that was taken.
                answer = subprocess.run(
                    words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
                )
            except OSError as error:
                raise submit.UsageError(f"cannot run {words[0]} ({error.strerror}); is this a submit host?") from None
            found = re.search(self.scheduler.job_id, answer.stdout, re.MULTILINE) if answer.returncode == 0 else None
            try:
                if found:
                    number.write(found[1])
                    number.flush()
                with open(self.log, "a", encoding="utf-8") as handle:
                    handle.write(f"# {shlex.join(words)}\n{answer.stdout}")
            except OSError:
                if found:
                    self.cancel(found[1])
                raise
            if found:
                return found[1]
            self.request.say(f"the job was refused: {answer.stdout.strip()}")
            if pause is None:
                self.request.say(f"gave up after {len(RETRY_AFTER) + 1} refusals, see {self.log}")
            else:
                self.stop.wait(pause)
        return None

    def wait(self, job: str, ends: Path) -> dict[int, int]:
        """Wait until every task has left its exit code, or has vanished.  Returns the codes."""
        pause, interval = 0.05, ASK_FIRST
        ask_at = time.monotonic() + interval
        missing: dict[int, float] = {}
        vanished: set[int] = set()
        warned = False
        while not self.stop.is_set():
            codes = ended(ends)
            left = set(self.tasks) - codes.keys() - vanished
            if not left:
                if vanished:
                    # What the scheduler does not show may still run, and must not write when it is run again.
                    self.cancel(job, quiet=True)
                return {task: codes.get(task, 1) for task in self.tasks}
            now = time.monotonic()
            if now >= ask_at:
                states = self.ask(job)
                if states is not None:
                    missing = {task: missing.get(task, now) for task in sorted(left - states.keys())}
                    late = [task for task, since in missing.items() if now - since > GRACE]
                    if late:
                        self.report_vanished(late, job)
                        vanished.update(late)
                    warned = warned or self.warn_of_stuck(job, states)
                if missing:
                    # Changing the folder makes a network file system show what other hosts changed in it.
                    (ends / ".look").touch()
                    (ends / ".look").unlink()
                interval = ASK_FIRST if missing else min(interval * 1.5, ASK_EVERY)
                ask_at = now + interval
            self.stop.wait(pause)
            pause = min(pause * 1.2, MAX_PAUSE)
        return {}

    def ask(self, job: str) -> dict[int, str] | None:
        """The state of each task that the scheduler knows; None without an answer, which is no sign of anything."""
        answer = answer_to(self.scheduler.query, job)
        if answer is None:
            return None
        if answer.returncode != 0:
            return {} if re.search(self.scheduler.gone, answer.stdout + answer.stderr) else None
        return self.scheduler.known(answer.stdout, job)

    def cancel(self, job: str, quiet: bool = False) -> bool:
        """Cancel the job; says how to do it by hand if the scheduler does not take it."""
        answer = answer_to([self.scheduler.cancel, ""], job)
        taken = answer is not None and answer.returncode == 0
        if not taken and not quiet:
            self.request.say(f"cannot cancel job {job}; try it again: {self.scheduler.cancel} {job}")
        return taken

    def warn_of_stuck(self, job: str, states: dict[int, str]) -> bool:
        """Say why a task will not start by itself; whether there is one."""
        stuck = next((state for state in states.values() if re.search(self.scheduler.stuck, state)), None)
        if stuck is None:
            return False
        answer = answer_to(self.scheduler.details, job) if self.scheduler.details else None
        reason = re.search(r"error reason.*", answer.stdout) if answer else None
        self.request.say(f"job {job} does not start: {reason[0] if reason else stuck}")
        return True

    def report_vanished(self, tasks: list[int], job: str) -> None:
        """Say it at once, while other tasks run on, and in the logs."""
        for task in tasks:
            what = f"task {task} of job {job}" if self.request.name else f"job {job}"
            with open(self.request.log_of(task), "a", encoding="utf-8") as handle:
                handle.write(f"\n# Vanished: the scheduler no longer knows {what}, and it did not end;\n")
                handle.write(f"# killed for time or memory?  The scheduler's own output is in {self.log}\n")
        many = f" ({len(tasks)} tasks)" if len(tasks) > 1 else ""
        self.request.say(f"vanished{many}, see {self.request.log_of(tasks[0])}")

    def say_if_full(self, ends: Path) -> None:
        """On a full disk, the words of what failed found no room in its log either."""
        try:
            (ends / ".room").write_text("room")
        except OSError as error:
            failed = min(task for task, code in self.codes.items() if code)
            self.request.say(submit.unwritable(f"the log {self.request.log_of(failed)}", error))


def queue_place(request: submit.Request) -> tuple[Path, str]:
    """The folder `<logdir>/q` and the name of the files in it, both without the range's name."""
    log = Path(request.log)
    parent, base = log.parent, log.stem
    if request.name:
        while request.name in str(parent):
            parent = parent.parent
        base = base.replace(f".{request.name}", "").replace(request.name, "")
    # Grid Engine takes the script's name for the job's, which may neither hold blanks nor start with a digit.
    base = re.sub(r"[^\w.-]", "_", base.strip("."), flags=re.ASCII) or "job"
    return Path.cwd() / parent / "q", f"j{base}" if base[0].isdigit() else base


def configured(options: dict[str, str], scheduler: Scheduler) -> tuple[list[str], list[str]]:
    """Apply the configuration file: the submitting command, and the words the options turn into.

    Lines are `command ...` (exactly one), `option name=value words` (a value
    of `*` stands for any other, `$0` in the words for the value given) and
    `default name=value`.  --max-jobs-run is part of the array and needs no line.
    """
    path = options.get("config", f"conf/{scheduler.config}")
    if "config" not in options and not os.path.isfile(path):
        path = str(SHIPPED / scheduler.config)
    if not os.path.isfile(path):
        raise submit.UsageError(f"the configuration file {path} does not exist")
    commands: list[list[str]] = []
    described: dict[tuple[str, str], list[str]] = {}
    chosen: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        line = re.sub(r"(^|\s)\s*#.*", "", line).strip()
        kind, _, rest = line.partition(" ")
        setting = re.match(r"([^=\s]+)=(\S+)\s*(.*)", rest.strip())
        try:
            if kind == "command" and rest.strip():
                commands.append([os.path.expandvars(word) for word in shlex.split(rest)])
            elif kind == "option" and setting:
                described[setting[1], setting[2]] = [os.path.expandvars(word) for word in shlex.split(setting[3])]
            elif kind == "default" and setting:
                chosen[setting[1]] = setting[2]
            elif line:
                raise ValueError("it is no command, option or default line")
        except ValueError as error:
            raise submit.UsageError(f"{path}:{number}: cannot read '{line}' ({error})") from None
    if len(commands) != 1:
        raise submit.UsageError(f"{path} must have exactly one 'command' line, it has {len(commands)}")
    words = []
    for option, value in (chosen | options).items():
        if option in ("config", "max_jobs_run"):
            continue
        template = described.get((option, value), described.get((option, "*")))
        if template is None:
            raise submit.UsageError(
                f"Command line option {option} not described in {path} (or value '{value}' not allowed)"
            )
        words += [word.replace("$0", value) for word in template]
    return commands[0], words


# No variable may have a name from the user's environment or path.sh: the command would get our value, or we theirs.
SCRIPT = """\
# Without its folder, the submitter is gone and others may write the same.  A shared file system may show it late.
for _salience_pause in 1 2 4; do [ -d "$_salience_ends" ] || sleep $_salience_pause; done
[ -d "$_salience_ends" ] || exit 1
# A submitter that was killed in the middle of submitting could not write it.
[ -s "$_salience_ends/.job" ] || echo "$_salience_job" > "$_salience_ends/.job"
case "$_salience_wanted" in *" $_salience_task "*) ;; *) exit 0 ;; esac
cd "$_salience_folder" || exit 1
if [ -f ./path.sh ]; then . ./path.sh; fi
set +aeu
if [ -n "$_salience_name" ]; then
    _salience_command=${_salience_command//$_salience_name/$_salience_task}
    _salience_log=${_salience_log//$_salience_name/$_salience_task}
fi
{
    echo "# Running on $(hostname)"
    echo "# ${_salience_command//$'\\n'/$'\\n# '}"
    echo "# Started at $(LC_ALL=C date)"
    echo "#"
} > "$_salience_log"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$_salience_threads}"
_salience_started=$(date +%s)
# When Slurm takes the machine away, all processes get SIGTERM and have some time, but only until this script ends:
# both shells wait for a training that writes its checkpoint.  The job may be started again, so this is no end.
_salience_stopped=
trap '_salience_stopped=yes' TERM
# Not as an argument, which the system limits to 128 KiB.
printf %s "$_salience_command" |
    bash -c 'trap "exit 143" TERM; eval "$(cat)" < /dev/null' >> "$_salience_log" 2>&1
_salience_code=$?
if [ -n "$_salience_stopped" ]; then
    echo "# Stopped by SIGTERM at $(LC_ALL=C date)" >> "$_salience_log"
    exit 143
fi
_salience_seconds=$(($(date +%s) - _salience_started))
_salience_result="code $_salience_code"
if [ $_salience_code -gt 128 ] && [ $_salience_code -le 192 ]; then
    _salience_result="code 1; signal $((_salience_code - 128))"
    _salience_code=1
fi
tail -c 1 "$_salience_log" | read -r _ || echo >> "$_salience_log"
{
    echo "# Accounting: time=$_salience_seconds threads=$_salience_threads"
    echo "# Ended ($_salience_result) at $(LC_ALL=C date), elapsed time $_salience_seconds seconds"
} >> "$_salience_log"
# A name needs no room on a full disk.
: > "$_salience_ends/$_salience_task.$_salience_code"
[ $_salience_code -eq 0 ]
"""


def lock(file: IO[str], operation: int) -> bool:
    """Lock an open file; False if another process has it.  Without locks in the file system, it counts as locked."""
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def left_job(ends: Path) -> str | None:
    """The number that a killed submitter left, "" when it had none yet; None when the submitter lives."""
    try:
        with open(ends / JOB_NUMBER, encoding="utf-8") as number:
            return number.read().strip() if lock(number, fcntl.LOCK_SH | fcntl.LOCK_NB) else None
    except FileNotFoundError:
        return ""


def ended(ends: Path) -> dict[int, int]:
    """The exit codes of the tasks that ended."""
    names = (name.split(".") for name in os.listdir(ends) if not name.startswith("."))
    return {int(task): int(code) for task, code in names}


def answer_to(query: list[str], job: str) -> subprocess.CompletedProcess[str] | None:
    """What the scheduler answers about the job, if it does."""
    words = [word or job for word in query]
    try:
        return subprocess.run(words, capture_output=True, text=True, start_new_session=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
