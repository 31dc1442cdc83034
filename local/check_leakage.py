#!/usr/bin/env python3
"""Report what training, development and test sets share."""

from pathlib import Path

from salience import program
from salience.data.leakage import examples, sentence_key
from salience.data.leakage import report as leakage_report
from salience.data.normalisers import normaliser as resolve
from salience.errors import InputError
from salience.files import whole_file


def check_leakage(
    train: str,
    test: str,
    report: Path,
    dev: str = "",
    allow_shared_speakers: str = "",
    forbid_shared_sentences: str = "",
    forbid_shared_recordings: bool = False,
    normaliser: str = "",
) -> None:
    """Write a report of shared speakers, sentences and recordings, and fail when speakers cross.

    Training, development and test sets must have different speakers.  Sets of
    the same kind may share them, since no score compares those.  Sentences
    are compared without case and punctuation.  Recordings are the audio files
    or, where a set has utt2recording, the long recordings that it names.  Ends
    with exit code 1 after the report is written.

    Args:
        train: Data directories that models are trained on, separated by spaces.
        test: Data directories that are scored.
        report: The report, in Markdown.
        dev: Data directories that models are selected on.
        allow_shared_speakers: Names (without the path) of sets that may share speakers with others.
        forbid_shared_sentences: Names (without the path) of sets; fail if a set of another kind shares sentences, too.
        forbid_shared_recordings: Fail on shared recordings, too.
        normaliser: Name of a text normaliser; sentences that it makes equal are the same.
    """
    kinds = {
        Path(folder): kind
        for kind, folders in (("train", train), ("dev", dev), ("test", test))
        for folder in folders.split()
    }
    allowed, names = set(allow_shared_speakers.split()), {folder.name for folder in kinds}
    if not allowed <= names:
        raise InputError(f"--allow-shared-speakers names {min(allowed - names)}, no set of {examples(sorted(names))}")
    normalise = resolve(normaliser)[0] if normaliser else str
    text, faults = leakage_report(
        kinds,
        allowed,
        forbid_shared_recordings,
        forbid_shared_sentences.split(),
        lambda sentence: sentence_key(normalise(sentence)),
    )
    with whole_file(report) as handle:
        handle.write(text)
    print(f"leakage report: {report}")
    if faults:
        raise InputError(f"{faults[0]} ({report} has all)")


if __name__ == "__main__":
    program.main(check_leakage)
