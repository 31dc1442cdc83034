#!/usr/bin/env python3
"""Data directories: Common Voice for the recogniser, the Speech Accent Archive for the classifier, more to test."""

from dataclasses import replace
from pathlib import Path

from salience import program
from salience.corpora import common_voice as common_voice_corpus
from salience.corpora import librispeech as librispeech_corpus
from salience.corpora import speech_accent_archive as archive_corpus
from salience.corpora import speechocean762 as speechocean_corpus
from salience.corpora.clips import BadClips, bad_before
from salience.corpora.labels import read_labels
from salience.corpora.sets import Sets, at_most
from salience.errors import InputError
from salience.files import files_below
from salience.steps import Step, audio_fingerprint

TESTS = ("standard", "accented", "saa_native", "saa_seen", "saa_unseen", "mandarin_adult", "mandarin_child", "ls")
SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", "dev_accents", *TESTS)
STANDARD, NATIVE = ("us", "canada"), "english"
DEV_MANDARIN = 100
"""Utterances of speechocean762's training part in dev_accents."""


def main(
    out: Path,
    common_voice: Path | None = None,
    speech_accent_archive: Path | None = None,
    speechocean762: Path | None = None,
    librispeech: Path | None = None,
    asr_train_accents: str = "us,canada",
    accent_labels: Path | None = None,
    max_clips: int = 40,
    unseen: str = "korean,portuguese",
    min_speakers: int = 45,
    max_speakers: int = 160,
    test_limit: int | None = None,
    min_seconds: float = 0.5,
    max_seconds: float = 30.0,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write a data directory for each set that the given corpora allow, and <out>/preparation.txt.

    No speaker of a test set is in a training or development set, and no
    sentence of asr_train and asr_dev in a test set; a set that has no corpus
    is left out, and preparation.txt says so.  dev_accents, for the choice of
    settings, holds the Archive's cls_dev without the native speakers, and 100
    utterances of speechocean762's training part.

    Args:
        out: folder for the data directories
        common_voice: Common Voice English, a release or a delta segment
        speech_accent_archive: root of the Speech Accent Archive
        speechocean762: root of speechocean762
        librispeech: root of LibriSpeech, whose test parts are `ls`
        asr_train_accents: Common Voice's accents to train the recogniser with, separated by commas; unlabelled
            stands for all clips that have none of the labels
        accent_labels: table of further answers and their labels, separated by a tab
        max_clips: at most this many Common Voice clips of a speaker
        unseen: first languages that the classifier does not meet, separated by commas
        min_speakers: speakers of a first language that make it one of the classifier's classes
        max_speakers: at most this many speakers of each of them
        test_limit: at most this many utterances in each of mandarin_adult, mandarin_child and ls, spread evenly
            over the speakers (default: all)
        min_seconds: leave out utterances shorter than this
        max_seconds: leave out utterances longer than this
        skip_bad_clips: leave out clips that are missing or damaged instead of stopping; bad_clips.tsv lists them
        seed: random seed of every choice
    """
    if not (roots := [root for root in (common_voice, speech_accent_archive, speechocean762, librispeech) if root]):
        raise InputError("no corpus is given; --help lists the four that there are")
    config = {name: value for name, value in locals().items() if name not in ("out", "roots")}

    def files() -> str:
        # Common Voice has millions of clips; its tables tell whether it changed.
        tables = common_voice_corpus.all_tables(common_voice_corpus.find_root(common_voice)) if common_voice else []
        found = [file for root in roots if root is not common_voice for file in files_below(root)]
        return audio_fingerprint([*found, *tables, *bad_before(out)])

    tables = [common_voice_corpus.COMMON_ACCENT_TABLE, *([accent_labels] if accent_labels else [])]
    step = Step(out / "step.json", config | {"files": files()}, tables, [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        sets = Sets(BadClips(out, skip_bad_clips))
        if common_voice:
            labels = {key: label for path in tables for key, label in read_labels(path).items()}
            asked = [word.strip() for word in asr_train_accents.split(",") if word.strip()]
            root = common_voice_corpus.find_root(common_voice.absolute())
            common_voice_corpus.add_accent_sets(sets, root, labels, STANDARD, asked, max_clips, seed)
        if speech_accent_archive:
            others = [word.strip() for word in unseen.split(",") if word.strip()]
            root = speech_accent_archive.absolute()
            archive_corpus.add_sets(sets, root, NATIVE, others, min_speakers, max_speakers, seed)
        if speechocean762:
            speechocean_corpus.add_sets(sets, speechocean762.absolute(), test_limit, DEV_MANDARIN, seed)
        if librispeech:
            root = librispeech_corpus.find_root(librispeech.absolute())
            parts = [part for part in librispeech_corpus.parts_in(root) if part.startswith("test-")]
            sets.found["ls"] = at_most(librispeech_corpus.utterances(root, parts, sets.bad), test_limit, seed)
        sets.report_bad()
        step.config["files"] = files()
        sets.limit(min_seconds, max_seconds)
        mandarin = [replace(u, accent="mandarin") for u in sets.found.pop("mandarin_dev", [])]
        sets.found["dev_accents"] = [u for u in sets.found.get("cls_dev", []) if u.accent != NATIVE] + mandarin
        sets.notes.append("dev_accents: cls_dev without its native speakers, and of speechocean762's train; no test "
                          "has its speakers, but the Archive's sets all read one passage")  # fmt: skip
        sets.keep_sentences_apart(("asr_train", "asr_dev"), TESTS)
        sets.found = {name: [replace(u, split=None) for u in found] for name, found in sets.found.items()}
        sets.write(out, SETS)
        if speechocean762:
            speechocean_corpus.write_scores(
                speechocean762, (out / name for name in SETS if name.startswith("mandarin"))
            )


if __name__ == "__main__":
    program.main(main)
