"""The one exception that means "the input is wrong", not "the program is"."""

import re
from pathlib import Path

RERUN = "run the step that writes it again"


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, the line where there is
    one, and the remedy.  Programs print it and exit 1, without a traceback.

    Args:
        text: the sentence
        path: the file or folder to be written again, where that is the remedy; a program that runs in a recipe
            adds the number of the stage that writes it
    """

    def __init__(self, text: str, path: Path | None = None) -> None:
        super().__init__(text)
        self.path = path


def stale(path: Path, fault: str) -> InputError:
    """The error for a file that an earlier step must write again: `raise stale(path, "has no entry for a")`."""
    return InputError(f"{path} {fault}; {RERUN}", path)


def beside_weights(error: Exception) -> str:
    """What torch.load found besides weights; torch's own message recommends running it."""
    named = re.search(r"GLOBAL `?([\w.]+)", str(error))
    return (
        f"more than weights ({named[1]}), which could run any code and is not loaded"
        if named
        else "what is no pickle of weights"
    )
