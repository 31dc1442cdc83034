"""What run.pl, queue.pl and slurm.pl share: the command line, the quoting, the log and the last word.

    <cmd>.pl [options] [NAME=first:last] <log-file> <command> [args...]

Standard library only: these scripts also run where the project's environment does not exist.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHOWN_LINES = 15  # last lines of the first failed log that are printed

USAGE = """usage: {program} [options] [JOB=1:n] <log-file> <command> [args...]
  runs the command, once for each JOB of the range; JOB (any name) is replaced by the
  number in the command and in the log file's path.
options: --max-jobs-run n, --gpu n, --mem 4G, --num-threads n, --time 4:0:0, --config file,
  --pick all|failed|incomplete (only the jobs whose old log says so)
example: {program} --mem 4G JOB=1:8 exp/log/count.JOB.log wc -l data/split8/JOB/text"""


class UsageError(Exception):
    """The command line or a configuration file cannot be used; the message says why."""


@dataclass
class Request:
    """A parsed command line."""

    program: str
    given: list[str]  # the command line as it was given
    options: dict[str, str]  # `--foo-bar v` as foo_bar: v
    native: list[str]  # options with one dash, in their order, as Grid Engine knows them
    name: str | None
    tasks: range  # just 1 when there is no range
    pick: str
    log: str
    words: list[str]

    def say(self, message: str) -> None:
        """Print a sentence to standard error."""
        print(f"{self.program}: {message}", file=sys.stderr)

    def with_task(self, text: str, task: object) -> str:
        """Put a task's number where the caller wrote the range's name."""
        return text.replace(self.name, str(task)) if self.name else text

    def log_of(self, task: int) -> Path:
        """The log file of one task."""
        return Path(self.with_task(self.log, task))

    def to_run(self) -> tuple[list[int], dict[int, int]]:
        """Tasks that --pick selects, and the old exit codes of the others.

        A task without a finished log is run under `failed` and `incomplete`
        alike: nothing shows that it did its work.
        """
        codes = {} if self.pick == "all" else {task: old_code(self.log_of(task)) for task in self.tasks}
        kept = {task: code for task, code in codes.items() if code == 0 or (code and self.pick == "incomplete")}
        return [task for task in self.tasks if task not in kept], kept

    def limit(self) -> int | None:
        """The value of --max-jobs-run."""
        value = self.options.get("max_jobs_run")
        if value is not None and not (value.isdecimal() and int(value)):
            raise UsageError(f"invalid option --max-jobs-run {value}: it takes a number above 0")
        return int(value) if value else None


def parse(program: str, given: list[str]) -> Request:
    """Read options and job range, in any order, up to the log file."""
    rest = list(given)
    options: dict[str, str] = {}
    native: list[str] = []
    pick = "all"
    name, tasks = None, range(1, 2)
    while rest:
        word = rest[0]
        task_range = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", word, re.ASCII)
        if task_range:
            if name:
                raise UsageError(f"there are two job ranges, the second is {word}")
            name, first = task_range[1], int(task_range[2])
            tasks = range(first, int(task_range[3] or first) + 1)
            if first < 1 or not tasks:
                raise UsageError(f"invalid job range {word}: it must start at 1 or above and not end before its start")
            rest.pop(0)
        elif re.fullmatch(r"[A-Za-z_]\w*=[^/]*:[^/]*", word, re.ASCII):
            raise UsageError(f"invalid job range {word}: write it like JOB=1:8")
        elif word.startswith("-"):
            count = {"-V": 0, "-pe": 2}.get(word, 1)
            values = rest[1 : 1 + count]
            if len(values) < count:
                raise UsageError(f"option {word} needs {'two values' if count == 2 else 'a value'}")
            del rest[: 1 + count]
            if values and values[0].startswith("--"):
                print(f"{program}: warning: suspicious value '{values[0]}' of option {word}", file=sys.stderr)
            if word == "--pick":
                pick = values[0]
                if pick not in ("all", "failed", "incomplete"):
                    raise UsageError(f"invalid option --pick {pick}: it takes all, failed or incomplete")
            elif word == "-tc":
                options["max_jobs_run"] = values[0]
            elif word.startswith("--"):
                options[word[2:].replace("-", "_")] = values[0]
            else:
                native += [word, *values]
        else:
            break
    if len(rest) < 2:
        raise UsageError(USAGE.format(program=program))
    if name and len(tasks) > 1 and name not in rest[0]:
        raise UsageError(
            "you are trying to run a parallel job but you are putting the output into just one log file "
            f"({rest[0]}); put {name} into its path"
        )
    return Request(program, given, options, native, name, tasks, pick, rest[0], rest[1:])


def quoted(words: list[str]) -> str:
    """The command as the job's shell reads it.

    Bare words keep the pipes and redirections that the caller escaped from
    his own shell; double quotes let `$VAR` expand where the job runs.
    """
    return " ".join(
        word if word and not re.search(r"\s", word, re.ASCII)
        else "'" + word.replace("'", "'\\''") + "'" if '"' in word
        else f'"{word}"'
        for word in words
    )  # fmt: skip


def result_of(code: int) -> tuple[int, str]:
    """Exit code and its words in the log, of what a shell or Popen reports.

    A shell reports the death of its child by signal n as 128 + n.
    """
    number = -code if code < 0 else code - 128
    if 0 < number <= 64:
        return 1, f"code 1; signal {number}"
    return code, f"code {code}"


def old_code(log: Path) -> int | None:
    """The exit code with which an old log ends, None when it does not say."""
    lines = last_lines(log, 1)
    found = re.match(r"# Ended \(code (\d+)", lines[0]) if lines else None
    return int(found[1]) if found else None


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file of any length; none when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(0, size - 16384))
            return handle.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []


def make_log_dirs(request: Request, tasks: list[int]) -> None:
    """Make the folder of every log."""
    for folder in sorted({request.log_of(task).parent for task in tasks}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {folder} for the log ({error.strerror}); free room or correct the path"
            ) from None


def unwritable(what: object, error: OSError) -> str:
    """What to do about a file that takes no more."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some and run the same command again" if is_full else "correct that"
    return f"cannot write {what} ({error.strerror}); {remedy}"


def conclude(request: Request, codes: dict[int, int]) -> int:
    """Say what failed, show why, and how to run only that again.  Returns the exit code."""
    failed = sorted(task for task, code in codes.items() if code != 0)
    if not failed:
        return 0
    log = request.log_of(failed[0])
    if len(codes) == 1:
        request.say(f"job failed, log is in {log}")
    else:
        request.say(f"{len(failed)} / {len(codes)} failed, log is in {request.with_task(request.log, '*')}")
    request.say("\n    ".join([f"the last lines of {log}:", *last_lines(log, SHOWN_LINES)]))
    request.say(f"to run only what failed again: {again(request)}")
    return 1


def again(request: Request) -> str:
    """The command that runs only the failed jobs again, ready to be pasted into any shell, a new one too."""
    words = list(request.given)
    head = len(words) - len(request.words) - 1
    for position in reversed([i for i in range(head) if words[i] == "--pick"]):
        del words[position : position + 2]
    place = f"cd {shlex.quote(os.getcwd())} && " + (". ./path.sh && " if os.path.isfile("path.sh") else "")
    return place + shlex.join([sys.argv[0], "--pick", "failed", *words])


class StopSignal:
    """Set by SIGINT, SIGTERM or SIGHUP; waiting for it is how these scripts sleep.

    Not a threading.Event: its lock may be held by what the signal interrupts, and then be waited for without end.
    """

    def __init__(self) -> None:
        self.number = 0
        self._end, self._start = os.pipe()

    def catch(self) -> None:
        """Take the signals over.  A hang-up that nohup ignores stays ignored."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            signal.signal(number, self._received)

    def is_set(self) -> bool:
        """Whether a signal came."""
        return self.number != 0

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until a signal comes; whether one came."""
        select.select([self._end], [], [], seconds)
        return self.is_set()

    def _received(self, number: int, frame: object) -> None:
        self.number = number
        os.write(self._start, b"!")


def main(program: str, run: Callable[[Request], int]) -> int:
    """Parse the command line, run it, and turn a UsageError into a sentence and exit code 1."""
    try:
        return run(parse(program, sys.argv[1:]))
    except UsageError as error:
        message = str(error)
        print(message if message.startswith("usage:") else f"{program}: {message}", file=sys.stderr)
        return 1
