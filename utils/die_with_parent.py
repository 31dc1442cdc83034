#!/usr/bin/env python3
"""die_with_parent.py <command> [args...]: run a command that Linux kills when the process that started it ends.

A new run must not meet writers of a run that was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

_libc: Any = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Have this process, also as the program that it becomes, killed when its parent ends, however that ends."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: die_with_parent.py <command> [args...]")
    die_with_parent()
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"die_with_parent.py: cannot run {sys.argv[1]} ({error.strerror})")
