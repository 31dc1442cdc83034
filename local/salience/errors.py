"""The one exception that means "the input is wrong", not "the program is"."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, the line where there is
    one, and the remedy.  Programs print it and exit 1, without a traceback.
    """
