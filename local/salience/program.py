"""How every program of local/ meets the shell: options, log lines, exit codes."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from salience.errors import InputError


def main(function: Callable[..., Any]) -> None:
    """Run a typed function as a program.

    Every parameter is an option (`--batch-size` and `--batch_size` alike), the
    docstring is the help, `--config file.yaml` sets any of them and
    `--print_config` shows them.  Exit code 0, or 1 after one sentence on bad
    input; a traceback means a bug.
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

    try:
        jsonargparse.auto_cli(
            function, args=[_underscored(word) for word in sys.argv[1:]], as_positional=False, exit_on_error=False
        )
    except InputError as error:
        sys.exit(f"{program}: {error}")
    except jsonargparse.ArgumentError as error:
        sys.exit(f"{program}: {' '.join(str(error).split())}; see {program} --help")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _disk_is_full(error):
            raise
        sys.exit(f"{program}: no space left on the disk; free some and run the same command again, what is done stays done")


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether this is why `error` was raised: safetensors and torch.save say so in words of their own."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    words = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter", "unexpected pos")
    return any(word in str(error) for word in words) or _disk_is_full(error.__context__)


def _underscored(word: str) -> str:
    """`--batch-size=4` becomes `--batch_size=4`; values are left alone."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value
