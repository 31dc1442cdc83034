"""Common Voice Persian."""

from functools import partial

from salience.corpora import common_voice

LANGUAGE = "fa"

find_root = partial(common_voice.find_root, language=LANGUAGE, several=False)
fetch = partial(common_voice.fetch, language=LANGUAGE, several=False)
