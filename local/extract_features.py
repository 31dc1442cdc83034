#!/usr/bin/env python3
"""Stage 2: features of one job's share of each set."""

import logging
from pathlib import Path
from typing import Literal

from salience import program
from salience.data.directories import read_data_dir
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.features.extraction import KINDS, RATE, extract
from salience.files import require_space
from salience.progress import bar
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger("extract_features")


def extract_features(
    data: Path,
    sets: str,
    out: Path,
    job: int = 1,
    jobs: int = 1,
    batch_seconds: float = 60.0,
    compress: bool = False,
    device: str = "cpu",
    kind: Literal["logmel", "fbank"] = "logmel",
    bins: int = 80,
    bandwidth: float | None = None,
    check_space: bool = True,
) -> None:
    """Write out/SET/feats.JOB.{ark,scp} and utt2num_frames.JOB: real frames only, (frames, bins) each.

    Reads data/SET/splitJOBS/JOB.  An `utt2speed` table there plays each
    utterance at that speed first.

    Args:
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for the features.
        job: This job's number.
        jobs: How many jobs share the work.
        batch_seconds: Audio that is transformed at a time.
        compress: Store one byte a value.
        device: Where the transform runs: cpu or cuda.
        kind: logmel as Whisper reads it, at most 30 seconds; fbank as Kaldi computes it, without dither.
        bins: Mel bins: 80, or with logmel the 128 that Whisper large-v3 and turbo read.
        bandwidth: Hertz to which all audio is limited before, so that copies at 8 kHz (4000) and others look alike;
            the filter is salience.audio.limit_band (default: no filter).
        check_space: Refuse to start where the disk has no room for the features of all jobs.
    """
    chosen = KINDS[kind]
    if bandwidth is not None and not 100 <= bandwidth <= RATE / 2:
        raise InputError(f"--bandwidth takes hertz from 100 to {RATE // 2}, not {bandwidth:g}")
    if bins not in chosen.bins:
        raise InputError(f"--kind {kind} has {' or '.join(map(str, chosen.bins))} bins, not {bins}; correct --bins")
    if check_space:
        everything = [utterance for name in sets.split() for utterance in read_data_dir(data / name)]
        lengths = [chosen.num_frames(round(utterance.duration * RATE)) for utterance in everything]
        folders = (out / name for name in sets.split())
        require_space(out, folders, archive_bytes(lengths, bins, compress), "the features")
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job)
        prefix, frames_file = out / name / f"feats.{job}", out / name / f"utt2num_frames.{job}"
        utterances = read_data_dir(share)
        config = {
            "kind": kind,
            "jobs": jobs,
            "compress": compress,
            "audio": audio_fingerprint(u.audio for u in utterances),
            **({} if bins == chosen.bins[0] else {"bins": bins}),
            **({} if bandwidth is None else {"bandwidth": bandwidth}),
        }
        outputs = [prefix.with_name(f"feats.{job}.scp"), frames_file]
        step = Step(prefix.with_name(f"feats.{job}.step.json"), config, inputs=[share], outputs=outputs)
        if step.is_done():
            continue
        speeds = read_table(share / "utt2speed") if (share / "utt2speed").exists() else {}
        counts = {}
        with step, ArchiveWriter(prefix, compress) as writer:
            features = extract(utterances, chosen, bins, speeds, device, batch_seconds, bandwidth)
            for key, matrix in bar(features, f"features of {name}", len(utterances)):
                writer.write(key, matrix)
                counts[key] = str(len(matrix))
            write_table(frames_file, counts)
        logger.info("wrote %d utterances to %s.ark", len(counts), prefix)


if __name__ == "__main__":
    program.main(extract_features)
