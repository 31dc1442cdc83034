#!/usr/bin/env python3
"""Data directories of one fold of the digit recipe: strings of digits, one accent never seen in training."""

import logging
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from salience import program
from salience.corpora import fsdd as fsdd_corpus
from salience.corpora.clips import BadClips
from salience.corpora.digits import DEV, TEST, TRAIN
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import visible, whole_file
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """Which recordings (index `first` to `last`) become strings of which sentence set, and how often."""

    first: int
    last: int | None
    sentences: int
    passes: int

    def takes(self, digit: Utterance) -> bool:
        """Whether a recording belongs to this share."""
        index = fsdd_corpus.index_of(digit)
        return self.first <= index and (self.last is None or index <= self.last)


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
        seed: seed of the strings
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    root = fsdd_corpus.find_root(fsdd.absolute())
    config["files"] = audio_fingerprint([root / "metadata.py", *visible((root / "recordings").iterdir())])
    step = Step(out / "step.json", config, [], [out / "preparation.txt"])
    if step.is_done():
        return
    bad = BadClips(out, skip_bad_clips)
    digits = list(fsdd_corpus.utterances(root, bad))
    bad.report()
    accents = sorted({digit.accent for digit in digits if digit.accent})
    if unseen not in accents or len(accents) < 3:
        raise InputError(
            f"{root} has the accents {', '.join(accents)}: --unseen must be one of them, and two must be left to learn"
        )
    shares = {
        "train": Share(10, None, TRAIN, train_passes),
        "dev": Share(5, 9, DEV, dev_passes),
        "test": Share(0, 4, TEST, test_passes),
    }
    with step:
        # Strings of an earlier seed, or of more passes, belong to no set any more.
        shutil.rmtree(out / "wav", ignore_errors=True)
        made: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": [], "unseen": []}
        for speaker in sorted({digit.speaker for digit in digits if digit.accent}):
            own = [digit for digit in digits if digit.speaker == speaker]
            own_shares = {"unseen": Share(0, None, TEST, unseen_passes)} if own[0].accent == unseen else shares
            for name, share in own_shares.items():
                taken = [digit for digit in own if share.takes(digit)]
                if taken:
                    strings = fsdd_corpus.draw_strings(taken, name, share.passes, seed, share.sentences)
                    made[name] += [fsdd_corpus.join(string, out.absolute() / "wav" / name) for string in strings]
        directories = {
            "cls_train": "train", "asr_train": "train", "cls_dev": "dev", "asr_dev": "dev",
            "cls_test": "test", "seen": "test", "unseen": "unseen",
        }  # fmt: skip
        for name, source in directories.items():
            write_data_dir(out / name, made[source])
        _describe(out, unseen, made, digits, bad)
    logger.info("wrote %s to %s", ", ".join(directories), out)


def _describe(out: Path, unseen: str, made: dict[str, list[Utterance]], digits: list[Utterance], bad: BadClips) -> None:
    lines = [
        f"Accent never seen in training: {unseen}.",
        "`seen` is spoken by the speakers of the training set, in other recordings (0 to 4 of each digit);"
        " `unseen` shares neither speakers nor recordings with it. So the two differ in the speakers"
        " as well as the accent, and with this few speakers the two cannot be told apart.",
        "cls_train and asr_train are the same strings, so are cls_dev and asr_dev, cls_test and seen.",
        "",
        "strings of  number  minutes  speakers",
    ]
    for name, utterances in made.items():
        counts = Counter(f"{utterance.speaker} ({utterance.accent})" for utterance in utterances)
        minutes = sum(utterance.duration for utterance in utterances) / 60
        lines.append(
            f"{name:<10} {len(utterances):>7} {minutes:>8.1f}  "
            + ", ".join(f"{speaker} {count}" for speaker, count in sorted(counts.items()))
        )
    unlabelled = sorted({digit.speaker for digit in digits if digit.accent is None})
    if unlabelled:
        lines.append(f"In no set, for metadata.py gives them an accent we have no label for: {', '.join(unlabelled)}")
    lines += bad.left_out()
    with whole_file(out / "preparation.txt") as handle:
        handle.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    program.main(main)
