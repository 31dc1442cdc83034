#!/usr/bin/env python3
"""Put a corpus in place: find the user's copy, unpack it, download it, or synthesise a small one."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Literal

from salience import program
from salience.corpora import an4, librispeech
from salience.errors import InputError
from salience.files import whole_file
from salience.steps import Step

logger = logging.getLogger(__name__)

NO_MINI = {"pdid": "it is collected from the mini recordings", "cmudict": "it is small enough"}
ONLY_MINI = ("recordings", "custom")


def main(
    corpus: Literal[
        "librispeech",
        "edacc",
        "common_voice",
        "common_voice_catalan",
        "common_voice_persian",
        "speech_accent_archive",
        "speechocean762",
        "fsdd",
        "an4",
        "speech_commands",
        "musan",
        "qut_noise",
        "pdid",
        "recordings",
        "custom",
        "cmudict",
    ],
    target: Path,
    root: Path | None = None,
    archive: Path | None = None,
    parts: str = ",".join(librispeech.DEFAULT_PARTS),
    mini: bool = False,
    pretraining: int = 0,
    americans: int = 0,
    seed: int = 0,
) -> None:
    """Put a corpus in place and write the path of its root to <target>/root.txt.

    Nothing is ever written into a folder given with --root.

    Args:
        corpus: which corpus
        target: folder for root.txt, and for what is unpacked, downloaded or synthesised
        root: the corpus, unpacked by the user
        archive: the corpus' archive, fetched by the user (LibriSpeech, Common Voice Catalan: or a folder with several)
        parts: LibriSpeech only, the parts to download, separated by commas
        mini: synthesise a small corpus in the same format instead
        pretraining: LibriSpeech and Common Voice Persian with --mini only, write this many utterances to train the
            mini Whisper on
        americans: Common Voice with --mini only, this many more speakers of American English
        seed: seed of what is synthesised
    """
    chosen = [name for name, given in (("--root", root), ("--archive", archive), ("--mini", mini)) if given]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} cannot be used together; choose one")
    if pretraining and not (corpus in ("librispeech", "common_voice_persian") and mini):
        raise InputError("--pretraining needs --corpus librispeech or common_voice_persian, and --mini true")
    if americans and not (corpus == "common_voice" and mini):
        raise InputError("--americans needs --corpus common_voice and --mini true")
    if mini and corpus in NO_MINI:
        raise InputError(f"there is no mini {corpus}: {NO_MINI[corpus]}")
    if not mini and corpus in ONLY_MINI:
        raise InputError(
            f"{corpus} is of your own and cannot be downloaded; give yours with the recipe's options (--help)"
        )
    answer = target / "root.txt"
    config = {
        "corpus": corpus,
        "root": root and root.absolute(),
        "parts": parts if corpus == "librispeech" else None,
        "mini": mini,
        "pretraining": pretraining,
        "seed": seed if mini else None,
        **({"americans": americans} if americans else {}),
    }
    step = Step(target / "step.json", config, [archive] if archive else [], [answer])
    if step.is_done() and Path(answer.read_text(encoding="utf-8").strip()).is_dir():
        return
    with step:
        if mini:
            synthetic = import_module(f"salience.corpora.synthetic.{corpus}")
            found = target / "mini" / synthetic.FOLDER
            if pretraining:
                synthetic.synthesise_pretraining(found, seed, utterances=pretraining)
            else:
                synthetic.synthesise(found, seed=seed, **({"americans": americans} if americans else {}))
        elif root:
            found = import_module(f"salience.corpora.{corpus}").find_root(root)
            found = an4.with_headers(found, target) if corpus == "an4" else found
        elif corpus == "librispeech":
            found = librispeech.fetch(target, archive, parts.replace(",", " ").split())
        else:
            found = import_module(f"salience.corpora.{corpus}").fetch(target, archive)
        with whole_file(answer) as handle:
            handle.write(f"{found.absolute()}\n")
    logger.info("%s is in %s%s", corpus, found, " (synthetic)" if mini else "")


if __name__ == "__main__":
    program.main(main)
