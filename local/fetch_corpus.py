#!/usr/bin/env python3
"""Put a corpus in place: find the user's copy, unpack it, download it, or synthesise a small one."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.corpora import (
    an4,
    common_voice,
    common_voice_catalan,
    common_voice_persian,
    edacc,
    fsdd,
    librispeech,
    mini_recordings,
    musan,
    pdid,
    qut_noise,
    speech_commands,
)
from salience.errors import InputError
from salience.files import whole_file
from salience.steps import Step

logger = logging.getLogger(__name__)

MINI_FOLDERS = {
    "librispeech": "LibriSpeech",
    "edacc": "edacc_v1.0",
    "common_voice": "cv-corpus-0.0-mini/en",
    "common_voice_catalan": "common_voice_ca",
    "common_voice_persian": "cv-corpus-0.0-mini/fa",
    "fsdd": "fsdd",
    "an4": "an4",
    "speech_commands": "speech_commands",
    "musan": "musan",
    "qut_noise": "QUT-NOISE",
    "recordings": "recordings",
}
MODULES = {
    "librispeech": librispeech,
    "edacc": edacc,
    "common_voice": common_voice,
    "common_voice_catalan": common_voice_catalan,
    "common_voice_persian": common_voice_persian,
    "fsdd": fsdd,
    "an4": an4,
    "speech_commands": speech_commands,
    "musan": musan,
    "qut_noise": qut_noise,
    "pdid": pdid,
    "recordings": mini_recordings,
}


def main(
    corpus: Literal[
        "librispeech",
        "edacc",
        "common_voice",
        "common_voice_catalan",
        "common_voice_persian",
        "fsdd",
        "an4",
        "speech_commands",
        "musan",
        "qut_noise",
        "pdid",
        "recordings",
    ],
    target: Path,
    root: Path | None = None,
    archive: Path | None = None,
    parts: str = ",".join(librispeech.DEFAULT_PARTS),
    mini: bool = False,
    pretraining: int = 0,
    seed: int = 0,
) -> None:
    """Put a corpus in place and write the path of its root to <target>/root.txt.

    Nothing is ever written into a folder given with --root.

    Args:
        corpus: which corpus
        target: folder for root.txt, and for what is unpacked, downloaded or synthesised
        root: the corpus, unpacked by the user
        archive: the corpus' archive, fetched by the user (LibriSpeech, Common Voice Catalan: or a folder with several)
        parts: LibriSpeech only, the parts to download, parted by commas
        mini: synthesise a small corpus in the same format instead
        pretraining: LibriSpeech and Common Voice Persian with --mini only, write this many utterances for the mini Whisper's training
        seed: seed of what is synthesised
    """
    chosen = [name for name, given in (("--root", root), ("--archive", archive), ("--mini", mini)) if given]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} cannot be used together; choose one")
    if pretraining and not (corpus in ("librispeech", "common_voice_persian") and mini):
        raise InputError("--pretraining needs --corpus librispeech or common_voice_persian, and --mini true")
    if mini and corpus not in MINI_FOLDERS:
        raise InputError(f"there is no mini {corpus}: it is collected from the mini recordings")
    module = MODULES[corpus]
    answer = target / "root.txt"
    config = {
        "corpus": corpus,
        "root": root and root.absolute(),
        "parts": parts if corpus == "librispeech" else None,
        "mini": mini,
        "pretraining": pretraining,
        "seed": seed if mini else None,
    }
    step = Step(target / "step.json", config, [archive] if archive else [], [answer])
    if step.is_done() and Path(answer.read_text(encoding="utf-8").strip()).is_dir():
        return
    with step:
        if root:
            found = module.find_root(root)
            if corpus == "an4":
                found = an4.with_headers(found, target)
        elif mini:
            found = target / "mini" / MINI_FOLDERS[corpus]
            if pretraining:
                MODULES[corpus].synthesise_pretraining(found, seed, utterances=pretraining)
            else:
                module.synthesise(found, seed=seed)
        elif corpus == "librispeech":
            found = librispeech.fetch(target, archive, parts.replace(",", " ").split())
        else:
            found = module.fetch(target, archive)
        with whole_file(answer) as handle:
            handle.write(f"{found.absolute()}\n")
    logger.info("%s is in %s%s", corpus, found, " (synthetic)" if mini else "")


if __name__ == "__main__":
    program.main(main)
