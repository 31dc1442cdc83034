#!/usr/bin/env python3
"""Data directories of the recipe's sets, from a corpus of the user's own in any of the formats that are read."""

import shutil
from pathlib import Path

from salience import program
from salience.corpora import custom
from salience.corpora.clips import BadClips
from salience.corpora.custom_sets import CLASSIFIER, DEV, TRAIN, Limits, add_sets, check_accents
from salience.corpora.sets import Sets
from salience.errors import InputError
from salience.files import whole_file
from salience.steps import Step, audio_fingerprint


def main(
    out: Path,
    caller: Path,
    test_dirs: str = "",
    train_dir: Path | None = None,
    dev_dir: Path | None = None,
    classifier_dir: Path | None = None,
    accents_for: str = "",
    min_speakers: int = 3,
    train_limit: int | None = None,
    test_limit: int | None = None,
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write a data directory for each set, <out>/preparation.txt, and the names of the test sets in <out>/test_sets.

    Each of the corpora is a data directory of Kaldi, manifests of lhotse (a
    folder, or a file of cuts or supervisions), or a table (.csv, .tsv) with the
    columns path, text, speaker, accent, and where it needs them id, start, end,
    gender and language.  Development and test sets that are not given are made
    of speakers of the training set.  Nothing is written into a corpus.

    Args:
        out: folder for the data directories
        caller: folder that test-dirs count from; relative paths of audio may, too, or from the tables and above
        test_dirs: corpora to test with, separated by spaces
        train_dir: corpus to train the recogniser with
        dev_dir: corpus to choose the recogniser's best epoch with
        classifier_dir: corpus that says accents, to train the classifier with
        accents_for: systems that need accents: where there are none, the run ends
        min_speakers: speakers of an accent that make it one of the classifier's classes
        train_limit: at most this many utterances in each training set, spread evenly over the speakers (default: all)
        test_limit: the same for each other set
        min_seconds: leave out utterances shorter than this
        max_seconds: leave out utterances longer than this
        skip_bad_clips: leave out clips that are missing or damaged instead of stopping; bad_clips.tsv lists them
        seed: random seed of who is held out and what is left out
    """
    config = {name: value for name, value in locals().items() if name not in ("out", "caller", "accents_for")}
    limits = Limits(min_speakers, train_limit, test_limit, seed)
    tests = [caller / path for path in test_dirs.split()]
    names = custom.names_of_tests(tests)
    paths = {TRAIN: train_dir, DEV: dev_dir, CLASSIFIER: classifier_dir}
    paths = {name: path for name, path in paths.items() if path} | dict(zip(names, tests, strict=True))
    if not tests and not train_dir:
        raise InputError("no corpus is given to test with; give --test-dirs, or --train-dir to hold out speakers of it")
    given = {name: custom.read(path, caller) for name, path in paths.items()}
    for name, part in given.items():
        if name != CLASSIFIER and not any(utterance.text for utterance in part.utterances):
            raise InputError(f"{part.path} has no transcripts (text); only {CLASSIFIER} can do without")
    source = given.get(CLASSIFIER) or given.get(TRAIN)
    if accents_for and source is None:
        raise InputError(f"{accents_for} need accents; give a corpus that has them with {CLASSIFIER} or {TRAIN}")
    if accents_for:
        check_accents(source.path, source.utterances, min_speakers, accents_for)
    notes = custom.name_alike(list(given.values()))
    config["files"] = audio_fingerprint(u.audio for part in given.values() for u in part.utterances)
    files = [file for part in given.values() for file in part.files]
    step = Step(out / "step.json", config, files, [out / "preparation.txt", out / "test_sets"])
    if step.is_done():
        return
    with step:
        sets = Sets(BadClips(out, skip_bad_clips))
        for name, part in given.items():
            # Of a test set, nothing is measured but what is scored.
            sets.found[name] = sets.bad.usable(limits.cut(name, part.utterances) if name in names else part.utterances)
            sets.notes += [part.told(name), *part.notes]
        custom.add_places(sets.bad.reasons, {a: place for part in given.values() for a, place in part.places.items()})
        sets.report_bad()
        sets.limit(min_seconds, max_seconds)
        names = add_sets(sets, limits)
        sets.notes += notes
        for name in set(custom.OURS) - sets.found.keys():
            shutil.rmtree(out / name, ignore_errors=True)  # of an earlier run that was given more
        sets.write(out, list(sets.found))
        with whole_file(out / "test_sets") as handle:
            handle.write(" ".join(names) + "\n")
    print((out / "preparation.txt").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    program.main(main)
