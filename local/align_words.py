#!/usr/bin/env python3
"""Stage 4: when each word of the transcripts is said, by the cross-attention of a Whisper."""

import logging
from pathlib import Path

from salience import program
from salience.data.ctm import write_ctm
from salience.data.directories import read_data_dir
from salience.features.archives import Archive
from salience.models.recognisers import TooLong
from salience.models.whisper import check_bins
from salience.progress import bar
from salience.saliency.measurement import spread
from salience.saliency.word_times import WordAligner
from salience.steps import Step, fingerprint

logger = logging.getLogger("align_words")


def align_words(
    model: str,
    data: Path,
    features: Path,
    sets: str,
    out: Path,
    language: str = "en",
    limit: int = 0,
    device: str = "cpu",
) -> None:
    """Write OUT/SET/ctm for each set.

    Args:
        model: A Whisper that knows the language: a name, a file or a folder.  The published ones are made for it.
        data: Folder of the data directories.
        features: Folder of the log-mel features.
        sets: Names of the sets, separated by spaces.
        out: Folder for the times.
        language: Whisper's code of the language.
        limit: At most this many utterances of a set, from as many speakers as there are; 0 takes all.
        device: cpu or cuda.
    """
    aligner = None
    for name in sets.split():
        archive = Archive(features / name / "feats.scp")
        weights = fingerprint(Path(model)) if Path(model).exists() else model
        config = {"model": weights, "language": language, "limit": limit}
        step = Step(out / name / "step.json", config, [data / name, archive.path], [out / name / "ctm"])
        if step.is_done():
            continue
        with step:
            aligner = aligner or WordAligner(model, language, device)
            check_bins(aligner.model, archive)
            utterances = read_data_dir(data / name)
            found, too_long = {}, 0
            chosen = spread(utterances, limit or len(utterances))
            for utterance in bar(chosen, f"words of {name}"):
                try:
                    found[utterance.id] = aligner.align(archive[utterance.id], utterance.text)
                except TooLong:
                    too_long += 1
            write_ctm(out / name / "ctm", found)
        logger.info(
            "%s: %d words of %d utterances in %s; %d texts are longer than the decoder reads",
            name, sum(map(len, found.values())), len(found), out / name / "ctm", too_long,
        )  # fmt: skip


if __name__ == "__main__":
    program.main(align_words)
