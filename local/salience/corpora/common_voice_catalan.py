"""Common Voice Catalan: accent labels by an exact table."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from salience.corpora import common_voice
from salience.corpora.common_voice import Clip

LANGUAGE = "ca"
ACCENTS = ("balear", "central", "nord-occidental", "septentrional", "valencià")
ACCENT_TABLE = Path(__file__).with_name("catalan_accents.tsv")
LEGACY_ACCENT_TABLE = Path(__file__).with_name("catalan_accents_legacy.tsv")

find_root = partial(common_voice.find_root, language=LANGUAGE)
fetch = partial(common_voice.fetch, language=LANGUAGE)


def accent_label(clip: Clip, labels: Mapping[str, str], variants: bool = True) -> tuple[str | None, str]:
    """The label of a clip and, where it has none, why not.

    Each of the two columns that is filled must be in the table as a whole, and
    they must agree.  Without `variants` only the accent column counts.
    """
    answers = [answer for answer in (clip.accent.strip(), clip.variant.strip() if variants else "") if answer]
    found = {common_voice.accent_label(answer, labels) for answer in answers}
    if not found:
        return None, "no accent stated"
    if None in found:
        return None, "an accent or variant that the table lacks"
    if len(found) > 1:
        return None, "an accent and a variant that disagree"
    return found.pop(), ""
