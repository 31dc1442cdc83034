"""What queue.pl and slurm.pl share: configuration, the job's script, submission, and waiting for the end.

Every task ends by leaving a file with its exit code in a folder that the
submitter watches, so the answer depends neither on the log's text nor on the
scheduler's accounting.  The scheduler is asked now and then whether it still
knows the job: a task that neither runs nor left its file has vanished.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import submit

RETRY_AFTER = (1.0, 3.0, 9.0, 27.0)
"""Seconds to wait before each new try of a refused submission."""

LONGEST_PAUSE = 2.0
"""Seconds between two looks for ended tasks, at most."""

ASK_EVERY = 30.0
"""Seconds between two questions to the scheduler, at most."""

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
    job_id: str
    """Finds the job's number in what the submission prints."""
    query: list[str]
    """Tells whether the job is known, once its number is appended to the word that is empty."""
    over: str
    """Finds the lines of the answer that speak of what has ended."""
    stuck: str
    """Finds in the query's answer why a job will not start by itself."""
    cancel: str


def run(request: submit.Request, scheduler: Scheduler) -> int:
    """Submit the request's tasks as one job and wait until each has ended."""
    tasks, codes = request.to_run()
    options = scheduler_options(request, scheduler, tasks)
    submit.make_log_dirs(request, tasks)
    if not tasks:
        return submit.conclude(request, codes)
    folder, base = queue_place(request)
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        # Without this, the log of an earlier run would speak for a task that never started.
        if request.log_of(task).is_file():
            request.log_of(task).unlink()
    ends = Path(tempfile.mkdtemp(prefix=f"{base}.", suffix=".ends", dir=folder))
    scheduler_log = folder / f"{base}.log"
    script = folder / f"{base}.sh"
    stop = submit.StopSignal()
    stop.catch()
    try:
        script.write_text(
            job_script(request, scheduler, tasks, ends), encoding="utf-8", errors="surrogateescape"
        )
        scheduler_log.write_text("")
        job = submit_job([*options, str(script)], scheduler, request, scheduler_log, stop)
        if job and not stop.is_set():
            codes.update(wait(job, tasks, ends, scheduler, request, scheduler_log, stop))
        if stop.is_set():
            if job:
                subprocess.run([scheduler.cancel, job], stdout=subprocess.DEVNULL, start_new_session=True)
            print(f"{request.program}: stopped, job {job or '(none yet)'} was cancelled", file=sys.stderr)
            return 2
        return submit.conclude(request, codes) if job else 1
    finally:
        shutil.rmtree(ends, ignore_errors=True)


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
                described[setting[1], setting[2]] = [
                    os.path.expandvars(word) for word in shlex.split(setting[3])
                ]
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
cd {folder} || exit 1
if [ -f ./path.sh ]; then . ./path.sh; fi
set +eu
task=${{{task_variable}:-1}}
case " {tasks} " in *" $task "*) ;; *) exit 0 ;; esac
command={command}
log={log}
{substitute}{{
    echo "# Running on $(hostname)"
    echo "# ${{command//$'\\n'/$'\\n# '}}"
    echo "# Started at $(LC_ALL=C date)"
    echo "#"
}} > "$log"
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{threads}}}"
started=$(date +%s)
bash -c "$command" < /dev/null >> "$log" 2>&1
code=$?
seconds=$(($(date +%s) - started))
result="code $code"
if [ $code -gt 128 ] && [ $code -le 192 ]; then
    result="code 1; signal $((code - 128))"
    code=1
fi
tail -c 1 "$log" | read -r _ || echo >> "$log"
{{
    echo "# Accounting: time=$seconds threads={threads}"
    echo "# Ended ($result) at $(LC_ALL=C date), elapsed time $seconds seconds"
}} >> "$log"
ends={ends}
echo $code > "$ends/.$task" && mv "$ends/.$task" "$ends/$task"
[ $code -eq 0 ]
"""


def job_script(request: submit.Request, scheduler: Scheduler, tasks: list[int], ends: Path) -> str:
    """The script of all tasks.  The number replaces the range's name in the caller's words only."""
    threads = request.options.get("num_threads", "1")
    if not threads.isdecimal():
        raise submit.UsageError(f"invalid option --num-threads {threads}: it takes a number")
    substitute = ""
    # A job that is no array has no task number of its own.
    variable = scheduler.task_variable if request.name else "NO_TASK"
    if request.name:
        substitute = "".join(f"{word}=${{{word}//{request.name}/$task}}\n" for word in ("command", "log"))
    return SCRIPT.format(
        program=request.program,
        folder=shlex.quote(os.getcwd()),
        task_variable=variable,
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
    stop: submit.StopSignal,
) -> str | None:
    """Submit, again after a refusal; the job's number, or None when it was refused every time."""
    for pause in (*RETRY_AFTER, None):
        try:
            # In a session of its own: Ctrl-C must not leave us without the number of a job that was taken.
            answer = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        except OSError as error:
            raise submit.UsageError(
                f"cannot run {words[0]} ({error.strerror}); is this a submit host?"
            ) from None
        with open(scheduler_log, "a", encoding="utf-8") as handle:
            handle.write(f"# {shlex.join(words)}\n{answer.stdout}")
        found = re.search(scheduler.job_id, answer.stdout, re.MULTILINE)
        if answer.returncode == 0 and found:
            return found[1]
        print(f"{request.program}: the job was refused: {answer.stdout.strip()}", file=sys.stderr)
        if pause is None or stop.wait(pause):
            break
    if not stop.is_set():
        print(
            f"{request.program}: refused {len(RETRY_AFTER) + 1} times, given up, see {scheduler_log}",
            file=sys.stderr,
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
    pause, interval = 0.05, 1.0
    ask_at = time.monotonic() + interval
    unknown_since = None
    warned = False
    while not stop.is_set():
        ended = {int(name) for name in os.listdir(ends) if not name.startswith(".")}
        if ended.issuperset(tasks):
            return {task: int((ends / str(task)).read_text()) for task in tasks}
        now = time.monotonic()
        if now >= ask_at:
            known, why_stuck = ask(job, scheduler)
            if why_stuck and not warned:
                print(f"{request.program}: job {job} does not start: {why_stuck}", file=sys.stderr)
                warned = True
            if known:
                unknown_since = None
                interval = min(interval * 1.5, ASK_EVERY)
            else:
                unknown_since = unknown_since or now
                interval = 1.0
                # Changing the folder makes a network file system show what other hosts changed in it.
                (ends / ".look").touch()
                (ends / ".look").unlink()
                if now - unknown_since > GRACE:
                    return vanished(job, tasks, ends, request, scheduler_log)
            ask_at = now + interval
        stop.wait(pause)
        pause = min(pause * 1.2, LONGEST_PAUSE)
    return {}


def ask(job: str, scheduler: Scheduler) -> tuple[bool, str]:
    """Whether the scheduler knows the job, and why the job will not start if it says so.

    A scheduler that cannot be reached is no sign of a vanished job.
    """
    try:
        words = [word or job for word in scheduler.query]
        answer = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    except OSError:
        return True, ""
    if answer.returncode != 0:
        unreachable = re.search(
            r"unable to|timed? ?out|commlib|connect", answer.stderr + answer.stdout, re.IGNORECASE
        )
        return bool(unreachable), ""
    known = re.sub(scheduler.over, "", answer.stdout, flags=re.MULTILINE).strip()
    stuck = re.search(scheduler.stuck, known)
    return bool(known), stuck[0] if stuck else ""


def vanished(
    job: str, tasks: list[int], ends: Path, request: submit.Request, scheduler_log: Path
) -> dict[int, int]:
    """The codes of the tasks that ended; those that did not fail, and their logs say why."""
    codes = {}
    for task in tasks:
        end = ends / str(task)
        codes[task] = int(end.read_text()) if end.exists() else 1
        if not end.exists():
            with open(request.log_of(task), "a", encoding="utf-8") as handle:
                handle.write(
                    f"\n# Vanished: the scheduler no longer knows job {job}, and this task did not end;\n"
                )
                handle.write(
                    f"# killed for time or memory?  The scheduler's own output is in {scheduler_log}\n"
                )
    return codes
