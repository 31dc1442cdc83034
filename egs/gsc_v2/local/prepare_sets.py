#!/usr/bin/env python3
"""Data directories of the Speech Commands recipe: speech, noise in and out of domain, and noisy test sets."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.corpora import keyword_noise, keyword_sets
from salience.corpora import speech_commands as corpus
from salience.corpora.clips import BadClips
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below, visible
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)


def main(
    out: Path,
    corpora: Path,
    noise: str = "musan",
    other_noise: str = "qut",
    published_musan: Path | None = None,
    published_qut: Path | None = None,
    qut_placement: Literal["ours", "published"] = "ours",
    words: str = "",
    partial: bool = False,
    snrs: str = "-12.5 -10 0 10 20 30 40",
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write the data directories of speech, of noise and of noisy test sets below <out>.

    train, dev and test are the corpus' own, by its lists.  noise_train and
    noise_test hold pieces of one second; keyword_noise.py says which.
    noise_other holds whole recordings of another source.  test_<noise> and
    test_<other noise>, named after the folders, are the test set with a table
    `noise`: which noise each utterance gets at every SNR, and from which
    sample at 16 kHz; or with a published archive, test_<noise>/<snr> are its
    mixtures.  <out>/words, sizes.json and preparation.txt say what was found
    and how it differs from the whole corpus and the paper's noise.

    Args:
        out: folder for the data directories
        corpora: folder of stage 0, with <corpus>/root.txt
        noise: in-domain noise: musan, background (the corpus' own), or a folder of recordings
        other_noise: out-of-domain noise: qut, or a folder of recordings
        published_musan: folder of the published mixtures with MUSAN, speech_command_test_musan_<SNR>_dB
        published_qut: folder of the published mixtures with QUT-NOISE, speech_command_test_QUT_<SNR>_dB
        qut_placement: published draws the places in the out-of-domain noise as the published script does
        words: take these words only, separated by spaces or commas (default: all)
        partial: accept all 35 words with fewer clips than the official corpus
        snrs: SNRs of the published mixtures, separated by spaces
        skip_bad_clips: leave out clips and recordings of noise that are missing, damaged or not as the corpus has them,
            instead of stopping; bad_clips.tsv lists them
        seed: random seed of the split of recordings of noise and of the pairing of utterances and noise
    """
    config = {name: value for name, value in locals().items() if name not in ("out", "snrs")}
    names = keyword_noise.check_names(noise, other_noise)
    if published_qut and qut_placement == "published":
        raise InputError("published mixtures with QUT-NOISE need no qut_placement; leave out one of them")
    root = corpus.find_root(keyword_noise.root_of("speech_commands", corpora))
    bad = BadClips(out, skip_bad_clips)
    inside = keyword_noise.in_domain(noise, corpora, seed, bad)
    outside = keyword_noise.Noise("none but the published mixtures")
    if other_noise != "qut" or not published_qut:
        outside = keyword_noise.out_of_domain(other_noise, corpora, bad)
    published = [folder.absolute() if folder else None for folder in (published_musan, published_qut)]
    config["snrs"] = snrs if any(published) else None  # on which nothing else depends
    files = [
        *(root / name for name in corpus.LISTS.values()),
        *(path for word in corpus.words_in(root) for path in visible((root / word).glob("*.wav"))),
        *(recording.audio for recording in (*inside.recordings, *outside.recordings)),
        *bad.reasons,
        *(path for folder in published if folder for path in visible(files_below(folder))),
    ]
    outputs = [out / name for name in ("preparation.txt", "sizes.json", "words")]
    step = Step(out / "step.json", config | {"root": root, "files": audio_fingerprint(files)}, outputs=outputs)
    if step.is_done():
        return
    sets: dict[str, list[Utterance]] = {split: [] for split in corpus.COUNTS}
    for utterance in corpus.utterances(root, words.replace(",", " ").split() or None, bad):
        sets[utterance.split or ""].append(utterance)
    test = sets["test"]
    mixtures = [
        keyword_sets.published_mixtures(folder, f"speech_command_test_{kind}", snrs.split(), test, bad)
        if folder
        else {}
        for folder, kind in zip(published, ("musan", "QUT"), strict=True)
    ]
    bad.report()
    keyword_sets.check_counts(sets, root, partial or bool(bad.reasons))
    if published_qut:
        places: dict[str, str] = {}
    elif qut_placement == "published":
        order = corpus.listed(root / corpus.LISTS["test"])
        places = keyword_noise.pair_as_published(test, order, outside.recordings)
    else:
        places = keyword_noise.pair_places(test, outside.recordings, seed)
    tables = (keyword_noise.pair_pieces(test, inside.test, seed), places)
    with step:
        for name, members in sets.items():
            write_data_dir(out / name, members)
        noises = {"noise_train": inside.train, "noise_test": inside.test, "noise_other": outside.recordings}
        for name, found in noises.items():
            keyword_sets.write_noise(out / name, found)
        notes = [
            keyword_sets.write_noisy(out / f"test_{name}", test, table, mixed)
            for name, table, mixed in zip(names, tables, mixtures, strict=True)
        ]
        keyword_sets.write_lists(out, sets, inside, outside, [*notes, *bad.left_out()])
    logger.info("wrote %s to %s", ", ".join(f"{name} ({len(members)})" for name, members in sets.items()), out)


if __name__ == "__main__":
    program.main(main)
