#!/usr/bin/env python3
"""Data directories of one fold of the digit recipe: strings of digits, one accent never seen in training."""

import shutil
from pathlib import Path

from salience import program
from salience.corpora import fsdd as fsdd_corpus
from salience.corpora.clips import BadClips
from salience.corpora.sets import Sets
from salience.errors import InputError
from salience.files import visible
from salience.steps import Step, audio_fingerprint

SETS = {
    "cls_train": "train", "asr_train": "train", "cls_dev": "dev", "asr_dev": "dev",
    "cls_test": "test", "seen": "test", "unseen": "unseen",
}  # fmt: skip


def main(
    out: Path,
    fsdd: Path,
    unseen: str,
    train_passes: int = 2,
    dev_passes: int = 2,
    test_passes: int = 4,
    unseen_passes: int = 1,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write the data directories of the fold in which one accent is unseen, and <out>/preparation.txt.

    Strings of three to five digits of one speaker, joined with 50 to 150 ms of
    silence, are written to <out>/wav.  Recordings 0 to 4 of each digit are the
    corpus' official test part and make `seen`, 5 to 9 make the dev sets, the
    rest the training sets; all recordings of the unseen accent make `unseen`.
    No recording and no sentence is in both training and test.

    Args:
        out: folder for the data directories
        fsdd: root of the Free Spoken Digit Dataset
        unseen: the accent left out of training, for instance german
        train_passes: how often each training recording is used (2 makes about 200 strings of a speaker)
        dev_passes: the same for the dev recordings (2: about 25)
        test_passes: the same for the test recordings of the seen accents (4: about 50)
        unseen_passes: the same for the recordings of the unseen accent (1: about 125)
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
        seed: random seed of the strings
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    root = fsdd_corpus.find_root(fsdd.absolute())
    config["files"] = audio_fingerprint([root / "metadata.py", *visible((root / "recordings").iterdir())])
    step = Step(out / "step.json", config, [], [out / "preparation.txt"])
    if step.is_done():
        return
    sets = Sets(BadClips(out, skip_bad_clips))
    digits = list(fsdd_corpus.utterances(root, sets.bad))
    sets.report_bad()
    accents = sorted({digit.accent for digit in digits if digit.accent})
    if unseen not in accents or len(accents) < 3:
        raise InputError(
            f"{root} has the accents {', '.join(accents)}: --unseen must be one of them, and two must remain"
        )
    passes = {"train": train_passes, "dev": dev_passes, "test": test_passes, "unseen": unseen_passes}
    with step:
        # Strings of an earlier seed, or of more passes, belong to no set any more.
        shutil.rmtree(out / "wav", ignore_errors=True)
        strings = fsdd_corpus.fold(digits, unseen, passes, out.absolute() / "wav", seed)
        sets.found = {name: strings[source] for name, source in SETS.items()}
        sets.notes += [
            f"Accent never seen in training: {unseen}",
            "`seen` is spoken by the speakers of the training set, in other recordings (0 to 4 of each digit); "
            "`unseen` shares neither speakers nor recordings with it. So the two differ in the speakers as well as the "
            "accent, and with this few speakers the two cannot be told apart",
            "cls_train and asr_train are the same strings, so are cls_dev and asr_dev, cls_test and seen",
        ]
        if unlabelled := sorted({digit.speaker for digit in digits if digit.accent is None}):
            sets.notes.append(
                f"In no set, because metadata.py gives an accent without a label: {', '.join(unlabelled)}"
            )
        sets.write(out, list(SETS))


if __name__ == "__main__":
    program.main(main)
