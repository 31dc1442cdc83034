#!/usr/bin/env python3
"""Data directories of the Catalan recipe: labelled, unlabelled, accent and gender sets."""

from pathlib import Path

from salience import program
from salience.corpora import common_voice as corpus
from salience.corpora import common_voice_catalan as catalan
from salience.corpora.catalan_sets import CatalanSets, check_options, chosen_releases
from salience.corpora.clips import BadClips, bad_before
from salience.corpora.labels import read_labels
from salience.steps import Step, audio_fingerprint


def main(
    out: Path,
    common_voice: Path,
    unlabelled_releases: str = "",
    labelled_tables: str = "validated",
    unlabelled_tables: str = "other invalidated",
    unlabelled_data: Path | None = None,
    accent_table: Path | None = None,
    legacy_accents: bool = False,
    min_per_accent: int = 10,
    max_per_accent: int | None = None,
    max_per_gender: int | None = None,
    dev_share: float = 0.1,
    test_share: float = 0.1,
    train_limit: int | None = None,
    dev_limit: int | None = None,
    test_limit: int | None = None,
    random_share: float = 0.1,
    min_seconds: float = 0.5,
    max_seconds: float = 20.0,
    skip_bad_clips: bool = False,
    other_columns: str = "",
    seed: int = 0,
) -> None:
    """Write the data directories of all sets, <out>/preparation.txt and <out>/unmapped_accents.txt.

    A speaker is in training, dev or test, and in the same of them for
    transcripts, accents and genders; nobody of dev or test is in unlabelled.
    Sets with _random are drawn by utterance from the same clips, as the paper
    drew them: what they share is the leak.  Sentences with figures, with signs
    that are read aloud, or with letters that Catalan lacks are in no training
    or dev set of transcripts; test sets keep them.

    Args:
        out: folder for the data directories
        common_voice: a Catalan release, or a folder with several and with delta segments
        unlabelled_releases: releases of which only the audio is used, separated by spaces: names of their folders, or
            versions such as 15.0
        labelled_tables: tables of the other releases whose sentences are used, separated by spaces
        unlabelled_tables: tables of the other releases of which only the audio is used
        unlabelled_data: a data directory of any speech, whose audio joins unlabelled
        accent_table: your own table, what is written in accents or variant and its label; it comes before the recipe's
        legacy_accents: the paper's five exact strings of the accent column instead of the table
        min_per_accent: an accent with fewer clips is in no accent set
        max_per_accent: at most this many clips of an accent in each accent set (default: all)
        max_per_gender: at most this many clips of a gender in each gender set (default: all)
        dev_share: share of the speakers, of each accent and gender, in the dev sets
        test_share: the same for the test sets
        train_limit: at most this many utterances in labelled_train, of as many speakers as possible (default: all)
        dev_limit: the same for labelled_dev
        test_limit: the same for labelled_test
        random_share: share of the utterances, half dev and half test, in the random sets
        min_seconds: leave out clips shorter than this many seconds
        max_seconds: leave out clips longer than this many seconds
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
        other_columns: columns that the tables may have besides the known ones, separated by spaces
        seed: seed of every choice
    """
    config = {name: value for name, value in locals().items() if name != "out"}
    check_options(config)
    releases = corpus.find_releases(common_voice.absolute(), catalan.LANGUAGE)

    def files() -> str:
        # What tells that a corpus of many clips changed: the tables, and what was bad.
        return audio_fingerprint([*(path for root in releases for path in corpus.all_tables(root)), *bad_before(out)])

    tables = [
        catalan.LEGACY_ACCENT_TABLE if legacy_accents else catalan.ACCENT_TABLE,
        *([accent_table] if accent_table else []),
    ]
    data = [unlabelled_data / name for name in ("utt2spk", "wav.scp", "segments", "utt2dur")] if unlabelled_data else []
    step = Step(out / "step.json", config | {"files": files()}, [*tables, *data], [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        labels = {written: label for table in tables for written, label in read_labels(table).items()}
        sets = CatalanSets(BadClips(out, skip_bad_clips), min_seconds=min_seconds, max_seconds=max_seconds)
        sets.read_releases(
            releases,
            chosen_releases(releases, unlabelled_releases, common_voice),
            labelled_tables.split(),
            unlabelled_tables.split(),
            corpus.KNOWN_COLUMNS | set(other_columns.split()),
            labels,
            variants=not legacy_accents,
        )
        if unlabelled_data is not None:
            sets.add_audio(unlabelled_data)
        sets.report_bad()
        step.config["files"] = files()
        sets.check(common_voice, labelled_tables)
        sets.label_speakers()
        sets.divide(dev_share, test_share, {"train": train_limit, "dev": dev_limit, "test": test_limit}, seed)
        sets.choose_accents(min_per_accent)
        sets.add_classes("accent", max_per_accent, seed)
        sets.add_classes("gender", max_per_gender, seed)
        sets.split_at_random(random_share, seed)
        sets.write_all(out)


if __name__ == "__main__":
    program.main(main)
