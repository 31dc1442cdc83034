#!/usr/bin/env python3
"""Data directories of the corpus that the mini Whisper learns from."""

from pathlib import Path

from salience import program
from salience.corpora import librispeech as librispeech_corpus
from salience.data.directories import write_data_dir


def prepare_pretraining(librispeech: Path, out: Path, dev_readers: int = 2) -> None:
    """Write out/asr_train and out/asr_dev, whose readers differ.

    Args:
        librispeech: A corpus in LibriSpeech's format.
        out: Folder for the data directories.
        dev_readers: How many readers make the dev set.
    """
    utterances = list(librispeech_corpus.utterances(librispeech))
    dev = set(sorted({u.speaker for u in utterances})[:dev_readers])
    write_data_dir(out / "asr_train", [u for u in utterances if u.speaker not in dev])
    write_data_dir(out / "asr_dev", [u for u in utterances if u.speaker in dev])


if __name__ == "__main__":
    program.main(prepare_pretraining)
