"""What people type, made fit for a table of transcripts: one rule for all languages."""

import re
import unicodedata

SPECIAL = re.compile(r"<\|[^<>|\s]*\|>")
"""How Whisper writes its special tokens, such as `<|en|>` and `<|endoftext|>`: no tokenizer takes them as text."""


def is_printable(character: str) -> bool:
    """Printable, or an invisible joiner or direction mark, as Persian needs them."""
    return character.isprintable() or (unicodedata.category(character) == "Cf" and character != "\ufeff")


def clean(text: str) -> str:
    """A sentence in one line, with single spaces for all white space.

    Control characters and U+FEFF, which keyboards and web pages leave behind,
    and Whisper's special tokens are taken out; nothing that is read aloud is.
    """
    printable = "".join(filter(is_printable, " ".join(text.split())))
    return " ".join(SPECIAL.sub(" ", printable).split())
