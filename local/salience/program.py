"""How every program of local/ meets the shell: options, log lines, exit codes."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from salience.errors import InputError
from salience.files import FULL, read_yaml
from salience.registry import load_plugins
from salience.steps import stage_of

Function = TypeVar("Function", bound=Callable[..., Any])


def main(function: Callable[..., Any], first: str | None = None) -> None:
    """Run a typed function as a program.

    Every parameter is an option (`--batch-size` and `--batch_size` alike), the
    docstring is the help, `--config file.yaml` sets any of them and
    `--print_config` shows them.  Exit code 0, or 1 after one sentence on bad
    input; a traceback means a bug.  `first` names the list that the words before
    the first option are.
    """
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s (%(filename)s:%(lineno)d) %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    program = os.path.basename(sys.argv[0])
    # Imported here: every other module of the library stays free of the command line.
    import jsonargparse

    words = [_underscored(word) for word in sys.argv[1:]]
    if first is not None and (values := list(takewhile(lambda word: not word.startswith("--"), words))):
        words[: len(values)] = [f"--{first}={json.dumps(values)}"]
    try:
        load_plugins()
        for path in _configurations(words):
            # jsonargparse reads it again, and is no match for every file.
            read_yaml(Path(path), f"correct the file; {program} --print_config shows one")
        _check_renamed(getattr(function, "renamed", {}), words)
        if hasattr(function, "choice"):
            _run_chosen(function, words)
        else:
            jsonargparse.auto_cli(function, args=words, as_positional=False, exit_on_error=False)
    except InputError as error:
        sys.exit(f"{program}: {_with_stage(error)}")
    except jsonargparse.ArgumentError as error:
        sys.exit(f"{program}: {' '.join(str(error).split())}; see {program} --help")
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        sys.exit(f"{program}: {error.filename}: {error.strerror}; correct the path or its permissions")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _disk_is_full(error):
            raise
        sys.exit(
            f"{program}: no space left on the disk for {_unwritten(error)}; free some and run the same command again,"
            " what is done stays done"
        )


def chosen_by(
    option: str, names: Callable[[], list[str]], classes: Callable[[str], dict[str, type]]
) -> Callable[[Function], Function]:
    """Decorate a program whose `--OPTION NAME` chooses the classes of some parameters.

    The parameters of these classes are options of the program beside its own.

    Args:
        option: The option, without its dashes.
        names: A function that lists the names.
        classes: From a name to the class of each such parameter.
    """

    def note(function: Function) -> Function:
        function.choice = (option, names, classes)  # type: ignore[attr-defined]
        return function

    return note


def _run_chosen(function: Any, words: list[str]) -> None:
    """Parse the options of a program that `chosen_by` decorates, and run it."""
    import jsonargparse

    option, names, classes = function.choice
    flag = f"--{option}"
    given = [after for word, after in zip(words, words[1:], strict=False) if word == flag]
    given += [word.removeprefix(f"{flag}=") for word in words if word.startswith(f"{flag}=")]
    chosen = classes(given[-1]) if given else {}
    takes = f"one of {', '.join(names())}, each with options of its own: {flag} NAME --help"
    if not given and not {"-h", "--help"} & set(words):
        raise InputError(f"{flag} is missing; it takes {takes}")
    for cls in chosen.values():
        _check_renamed(getattr(cls, "renamed", {}), words)
    parser = jsonargparse.ArgumentParser(
        exit_on_error=False, allow_abbrev=False, description=function.__doc__.partition("\n")[0]
    )
    parser.add_argument("--config", action="config", help="Path to a configuration file.")
    parser.add_argument(flag, help=takes)
    skip = {option, *(chosen or classes(names()[0]))}
    parser.add_function_arguments(function, as_group=False, as_positional=False, skip=skip, sub_configs=True)
    own = {name: parser.add_class_arguments(cls, as_positional=False, sub_configs=True) for name, cls in chosen.items()}
    values = dict(parser.instantiate(parser.parse_args(words)))
    for word in (option, "config"):
        values.pop(word)
    made = {name: chosen[name](**{key: values.pop(key) for key in own[name] if "." not in key}) for name in own}
    function(**made, **values)


def renamed(**names: str) -> Callable[[Function], Function]:
    """Decorate a program some of whose options had other names in earlier versions: `old="new"`."""

    def note(function: Function) -> Function:
        function.renamed = names  # type: ignore[attr-defined]
        return function

    return note


def _check_renamed(renamed: Mapping[str, str], words: list[str]) -> None:
    """Raise InputError where an option is given, on the command line or in a file, that has another name now."""
    given = {re.split("[=.]", word[2:])[0] for word in words if word.startswith("--")}
    given |= {key for path in _configurations(words) for key in read_yaml(Path(path), "correct --config") or ()}
    for old, new in renamed.items():
        if old in given:
            raise InputError(f"the option {old} is now called {new}; rename it")


def _with_stage(error: InputError) -> str:
    """The sentence, with the number of the stage that writes what it says is to be written again."""
    stage = None if error.path is None else stage_of(error.path)
    return str(error) if stage is None else f"{error} (stage {stage})"


def _unwritten(error: BaseException | None) -> str:
    """The file that did not find room; where nobody says, the folder a recipe runs in."""
    while error is not None:
        if isinstance(error, OSError) and error.filename is not None:
            return str(error.filename)
        error = error.__context__
    return f"what {os.getcwd()} is to hold"


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether this is why `error` was raised: safetensors and torch.save say so in words of their own."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    words = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter", "unexpected pos")
    return any(word in str(error) for word in words) or _disk_is_full(error.__context__)


def _configurations(words: list[str]) -> list[str]:
    """The files that --config names."""
    named = [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    return named + [after for word, after in zip(words, words[1:], strict=False) if word == "--config"]


def _underscored(word: str) -> str:
    """`--batch-size=4` becomes `--batch_size=4`; values are left alone."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value
