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
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import submit

RETRY_AFTER = (1.0, 3.0, 9.0, 27.0)
"""Seconds to wait before each new try of a refused submission."""

JOB_NUMBER = ".job"
"""The file with the job's number among those that tasks leave."""

LONGEST_PAUSE = 2.0
"""Seconds between two looks for ended tasks, at most."""

ASK_FIRST = 1.0
"""Seconds between two questions to the scheduler, at first and when a task is missing."""

ASK_EVERY = 30.0
"""Seconds between two questions to the scheduler, at most."""

PATIENCE = 30.0
"""Seconds that the scheduler may take to answer a question."""

GRACE = 15.0
"""So long may a network file system take to show the end of a task that the scheduler has forgotten."""


@dataclass(frozen=True)
class Scheduler:
    """How one scheduler is spoken to."""

    config: str
    """The configuration file that is read unless --config names another."""
    built_in: str
    """The configuration used when there is no such file."""
    task_variable: str
    ignored: tuple[str, ...]
    """One-dash options that make no sense here."""
    log_options: Callable[[Path], list[str]]
    array_options: Callable[[list[int], int | None], list[str]]
    """From the sorted tasks of an array and --max-jobs-run."""
    job_number: str
    """What a shell in the job makes the job's number of."""
    array_number: str
    """The same in a task of an array."""
    job_id: str
    """Finds the job's number in what the submission prints."""
    query: list[str]
    """Lists what is known of the job, whose number takes the place of the word that is empty."""
    known: Callable[[str, str], dict[int, str]]
    """From that answer and the job's number: the state of each task that has not ended; task 1 is a job that is no array."""
    gone: str
    """Finds the one error of the query that says that the job is not known; others say nothing about it."""
    stuck: str
    """Finds the states of a task that will not start by itself."""
    details: list[str]
    """Says why, where the state does not; the job's number takes the place of the word that is empty."""
    cancel: str


def run(request: submit.Request, scheduler: Scheduler) -> int:
    """Submit the request's tasks as one job and wait until each has ended."""
    tasks, codes = request.to_run()
    options = scheduler_options(request, scheduler, tasks)
    submit.make_log_dirs(request, tasks)
    if not tasks:
        return submit.conclude(request, codes)
    stop = submit.StopSignal()
    stop.catch()
    folder, base = queue_place(request)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        end_leftovers(folder, base, scheduler, request, stop)
        for task in tasks:
            # Without this, the log of an earlier run would speak for a task that never started.
            if request.log_of(task).is_file():
                request.log_of(task).unlink()
        ends = Path(tempfile.mkdtemp(prefix=f"{base}.", suffix=".ends", dir=folder))
        try:
            return run_tasks(tasks, codes, options, ends, scheduler, request, stop)
        finally:
            shutil.rmtree(ends, ignore_errors=True)
    except OSError as error:
        raise submit.UsageError(submit.unwritable(error.filename or folder, error)) from None


def run_tasks(
    tasks: list[int],
    codes: dict[int, int],
    options: list[str],
    ends: Path,
    scheduler: Scheduler,
    request: submit.Request,
    stop: submit.StopSignal,
) -> int:
    """Submit, wait and conclude; `codes` are those of tasks that need not run again."""
    folder, base = queue_place(request)
    scheduler_log = folder / f"{base}.log"
    script = folder / f"{base}.sh"
    script.write_text(job_script(request, scheduler, tasks, ends), encoding="utf-8", errors="surrogateescape")
    scheduler_log.write_text("")
    with held(ends) as number:
        job = submit_job([*options, str(script)], scheduler, request, scheduler_log, number, stop)
        if job and not stop.is_set():
            try:
                codes = {**codes, **wait(job, tasks, ends, scheduler, request, scheduler_log, stop)}
            except BaseException:
                cancel(job, scheduler, request)
                raise
    if stop.is_set():
        cancelled = job is None or cancel(job, scheduler, request)
        print(
            f"{request.program}: stopped, job {job or '(none yet)'} {'was' if cancelled else 'could not be'} cancelled",
            file=sys.stderr,
        )
        return 2
    if job is None:
        return 1
    if any(codes.values()):
        say_if_full(ends, request, codes)
    return submit.conclude(request, codes)


def held(ends: Path) -> IO[str]:
    """The file for the job's number, locked as long as this process lives."""
    number = open(ends / JOB_NUMBER, "w", encoding="utf-8")
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks; two at once with the same log would be a mistake anyway
    return number


def end_leftovers(
    folder: Path, base: str, scheduler: Scheduler, request: submit.Request, stop: submit.StopSignal
) -> None:
    """Cancel the jobs of submitters that were killed, and wait until they are gone: they write the same files."""
    for ends in sorted(folder.glob(f"{glob.escape(base)}.*.ends")):
        # Not those of the log `x.y` before the log `x` is written.
        if not re.fullmatch(r"\w{8}", ends.name[len(base) + 1 : -len(".ends")]):
            continue
        job = left_job(ends)
        if job is None:
            continue
        cancelled = False
        while job and not stop.is_set() and ask(job, scheduler) != {}:
            if not cancelled:
                print(
                    f"{request.program}: an earlier {request.program} was killed; its job {job} is cancelled first",
                    file=sys.stderr,
                )
                cancelled = cancel(job, scheduler, request)
            stop.wait(ASK_FIRST)
        if not stop.is_set():
            shutil.rmtree(ends, ignore_errors=True)


def left_job(ends: Path) -> str | None:
    """The number that a killed submitter left, "" when it had none yet; None when the submitter lives."""
    try:
        with open(ends / JOB_NUMBER, encoding="utf-8") as number:
            try:
                fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            except OSError:
                pass  # a file system without locks
            return number.read().strip()
    except FileNotFoundError:
        return ""


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


def scheduler_options(request: submit.Request, scheduler: Scheduler, tasks: list[int]) -> list[str]:
    """The submission's words but for the script: command, logs, options and the array."""
    command, resources = configured(request.options, scheduler)
    folder, base = queue_place(request)
    words = [*command, *scheduler.log_options(folder / f"{base}.log"), *resources]
    native = list(request.native)
    while native:
        count = {"-V": 1, "-pe": 3}.get(native[0], 2)
        if native[0] not in scheduler.ignored:
            words += native[:count]
        del native[:count]
    if request.name and tasks:
        words += scheduler.array_options(tasks, request.limit())
    return words


def configured(options: dict[str, str], scheduler: Scheduler) -> tuple[list[str], list[str]]:
    """Apply the configuration file: the submitting command, and the words the options turn into.

    Lines are `command ...` (exactly one), `option name=value words` (a value
    of `*` stands for any other, `$0` in the words for the value given) and
    `default name=value`.  --max-jobs-run is part of the array and needs no line.
    """
    path = options.get("config", scheduler.config)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    elif "config" in options:
        raise submit.UsageError(f"the configuration file {path} does not exist")
    else:
        path, lines = "the built-in configuration", scheduler.built_in.splitlines()
    commands: list[list[str]] = []
    described: dict[tuple[str, str], list[str]] = {}
    chosen: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
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
    chosen.update(options)
    words = []
    for option, value in chosen.items():
        if option in ("config", "max_jobs_run"):
            continue
        template = described.get((option, value), described.get((option, "*")))
        if template is None:
            raise submit.UsageError(
                f"Command line option {option} not described in {path} (or value '{value}' not allowed)"
            )
        words += [word.replace("$0", value) for word in template]
    return commands[0], words


SCRIPT = """\
#!/usr/bin/env bash
# Written by {program}.  Each task of the job runs it.
# No variable may have a name from the user's environment or path.sh: the command would get our value, or we theirs.
_salience_ends={ends}
# Without its folder, the submitter is gone and others may write the same.  A shared file system may show it late.
for _salience_pause in 1 2 4; do [ -d "$_salience_ends" ] || sleep $_salience_pause; done
[ -d "$_salience_ends" ] || exit 1
# A submitter that was killed in the middle of submitting could not write it.
[ -s "$_salience_ends/{number_file}" ] || echo "{job_number}" > "$_salience_ends/{number_file}"
_salience_task={task}
case " {tasks} " in *" $_salience_task "*) ;; *) exit 0 ;; esac
cd {folder} || exit 1
if [ -f ./path.sh ]; then . ./path.sh; fi
set +aeu
_salience_command={command}
_salience_log={log}
{substitute}{{
    echo "# Running on $(hostname)"
    echo "# ${{_salience_command//$'\\n'/$'\\n# '}}"
    echo "# Started at $(LC_ALL=C date)"
    echo "#"
}} > "$_salience_log"
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{threads}}}"
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
{{
    echo "# Accounting: time=$_salience_seconds threads={threads}"
    echo "# Ended ($_salience_result) at $(LC_ALL=C date), elapsed time $_salience_seconds seconds"
}} >> "$_salience_log"
# A name needs no room on a full disk.
: > "$_salience_ends/$_salience_task.$_salience_code"
[ $_salience_code -eq 0 ]
"""


def job_script(request: submit.Request, scheduler: Scheduler, tasks: list[int], ends: Path) -> str:
    """The script of all tasks.  The number replaces the range's name in the caller's words only."""
    threads = request.options.get("num_threads", "1")
    if not threads.isdecimal():
        raise submit.UsageError(f"invalid option --num-threads {threads}: it takes a number")
    substitute = ""
    # A job that is no array has no task number of its own, but may inherit that of a job that submitted it.
    task, job_number = "1", scheduler.job_number
    if request.name:
        task, job_number = f"${scheduler.task_variable}", scheduler.array_number
        substitute = "".join(
            f"{name}=${{{name}//{request.name}/$_salience_task}}\n" for name in ("_salience_command", "_salience_log")
        )
    return SCRIPT.format(
        program=request.program,
        number_file=JOB_NUMBER,
        job_number=job_number,
        folder=shlex.quote(os.getcwd()),
        task=task,
        tasks=" ".join(map(str, tasks)),
        command=shlex.quote(submit.quoted(request.words)),
        log=shlex.quote(request.log),
        substitute=substitute,
        threads=threads,
        ends=shlex.quote(str(ends)),
    )


def submit_job(
    words: list[str],
    scheduler: Scheduler,
    request: submit.Request,
    scheduler_log: Path,
    number: IO[str],
    stop: submit.StopSignal,
) -> str | None:
    """Submit, again after a refusal; the job's number, or None when it was refused every time."""
    for pause in (*RETRY_AFTER, None):
        if stop.is_set():
            return None
        try:
            # In a session of its own: Ctrl-C must not leave us without the number of a job that was taken.
            answer = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        except OSError as error:
            raise submit.UsageError(f"cannot run {words[0]} ({error.strerror}); is this a submit host?") from None
        found = re.search(scheduler.job_id, answer.stdout, re.MULTILINE) if answer.returncode == 0 else None
        try:
            if found:
                number.write(found[1])
                number.flush()
            with open(scheduler_log, "a", encoding="utf-8") as handle:
                handle.write(f"# {shlex.join(words)}\n{answer.stdout}")
        except OSError:
            if found:
                cancel(found[1], scheduler, request)
            raise
        if found:
            return found[1]
        print(f"{request.program}: the job was refused: {answer.stdout.strip()}", file=sys.stderr)
        if pause is None or stop.wait(pause):
            break
    if not stop.is_set():
        print(
            f"{request.program}: refused {len(RETRY_AFTER) + 1} times, given up, see {scheduler_log}", file=sys.stderr
        )
    return None


def wait(
    job: str,
    tasks: list[int],
    ends: Path,
    scheduler: Scheduler,
    request: submit.Request,
    scheduler_log: Path,
    stop: submit.StopSignal,
) -> dict[int, int]:
    """Wait until every task has left its exit code, or has vanished.  Returns the codes."""
    pause, interval = 0.05, ASK_FIRST
    ask_at = time.monotonic() + interval
    missing: dict[int, float] = {}
    vanished: set[int] = set()
    warned = False
    while not stop.is_set():
        codes = ended(ends)
        left = set(tasks) - codes.keys() - vanished
        if not left:
            if vanished:
                # What the scheduler does not show may still run, and must not write when it is run again.
                cancel(job, scheduler, request, quiet=True)
            return {task: codes.get(task, 1) for task in tasks}
        now = time.monotonic()
        if now >= ask_at:
            states = ask(job, scheduler)
            if states is not None:
                missing = {task: missing.get(task, now) for task in sorted(left - states.keys())}
                late = [task for task, since in missing.items() if now - since > GRACE]
                if late:
                    report_vanished(late, job, request, scheduler_log)
                    vanished.update(late)
                if not warned:
                    warned = warn_of_stuck(job, states, scheduler, request)
            if missing:
                # Changing the folder makes a network file system show what other hosts changed in it.
                (ends / ".look").touch()
                (ends / ".look").unlink()
            interval = ASK_FIRST if missing else min(interval * 1.5, ASK_EVERY)
            ask_at = now + interval
        stop.wait(pause)
        pause = min(pause * 1.2, LONGEST_PAUSE)
    return {}


def ended(ends: Path) -> dict[int, int]:
    """The exit codes of the tasks that ended."""
    names = (name.split(".") for name in os.listdir(ends) if not name.startswith("."))
    return {int(task): int(code) for task, code in names}


def ask(job: str, scheduler: Scheduler) -> dict[int, str] | None:
    """The state of each task that the scheduler knows; None when it gave no answer, which is no sign of anything."""
    answer = said(scheduler.query, job)
    if answer is None:
        return None
    if answer.returncode != 0:
        return {} if re.search(scheduler.gone, answer.stdout + answer.stderr) else None
    return scheduler.known(answer.stdout, job)


def said(query: list[str], job: str) -> subprocess.CompletedProcess[str] | None:
    """What the scheduler answers about the job, if it does."""
    try:
        return subprocess.run(
            [word or job for word in query],
            capture_output=True, text=True, start_new_session=True, timeout=PATIENCE,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None


def cancel(job: str, scheduler: Scheduler, request: submit.Request, quiet: bool = False) -> bool:
    """Cancel the job; says how to do it by hand if the scheduler does not take it."""
    answer = said([scheduler.cancel, ""], job)
    taken = answer is not None and answer.returncode == 0
    if not taken and not quiet:
        print(f"{request.program}: cannot cancel job {job}; try it again: {scheduler.cancel} {job}", file=sys.stderr)
    return taken


def warn_of_stuck(job: str, states: dict[int, str], scheduler: Scheduler, request: submit.Request) -> bool:
    """Say why a task will not start by itself; whether there is one."""
    stuck = next((state for state in states.values() if re.search(scheduler.stuck, state)), None)
    if stuck is None:
        return False
    answer = said(scheduler.details, job) if scheduler.details else None
    told = re.search(r"error reason.*", answer.stdout) if answer else None
    print(f"{request.program}: job {job} does not start: {told[0] if told else stuck}", file=sys.stderr)
    return True


def report_vanished(tasks: list[int], job: str, request: submit.Request, scheduler_log: Path) -> None:
    """Say it at once, while other tasks run on, and in the logs."""
    for task in tasks:
        what = f"task {task} of job {job}" if request.name else f"job {job}"
        with open(request.log_of(task), "a", encoding="utf-8") as handle:
            handle.write(f"\n# Vanished: the scheduler no longer knows {what}, and it did not end;\n")
            handle.write(f"# killed for time or memory?  The scheduler's own output is in {scheduler_log}\n")
    many = f" ({len(tasks)} tasks)" if len(tasks) > 1 else ""
    print(f"{request.program}: vanished{many}, see {request.log_of(tasks[0])}", file=sys.stderr)


def say_if_full(ends: Path, request: submit.Request, codes: dict[int, int]) -> None:
    """On a full disk, the words of what failed found no room in its log either."""
    try:
        (ends / ".room").write_text("room")
    except OSError as error:
        failed = min(task for task, code in codes.items() if code)
        print(f"{request.program}: {submit.unwritable(f'the log {request.log_of(failed)}', error)}", file=sys.stderr)
