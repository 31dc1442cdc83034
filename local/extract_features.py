#!/usr/bin/env python3
"""Stage 2: features of one job's share of each set."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from salience import program
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features import fbank, logmel
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.files import require_space
from salience.progress import bar
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger("extract_features")

RATE = 16_000


class Kind(NamedTuple):
    """One kind of features of 16 kHz audio."""

    transform: Callable[..., list[np.ndarray]]
    """Matrices (frames, bins) of a batch of signals, given the number of `bins`, on a `device`."""
    num_frames: Callable[[int], int]
    """Frames of so many samples."""
    bins: tuple[int, ...]
    """The numbers of bins that there are, the usual one first."""
    most_frames: float = float("inf")
    """What an utterance may have."""


KINDS = {
    "logmel": Kind(logmel.log_mel, logmel.num_frames, (logmel.BINS, 128), logmel.FRAMES_30S),
    "fbank": Kind(
        lambda audios, bins, device: fbank.fbank_of_audios(audios, device=device), fbank.num_frames, (fbank.BINS,)
    ),
}


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
        kind: logmel as Whisper hears it, at most 30 seconds; fbank as Kaldi does, without dither.
        bins: Mel bins: 80, or with logmel the 128 that Whisper large-v3 and turbo read.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    transform, num_frames, possible, most_frames = KINDS[kind]
    if bins not in possible:
        raise InputError(f"--kind {kind} has {' or '.join(map(str, possible))} bins, not {bins}; correct --bins")
    if check_space:
        lengths = [num_frames(round(u.duration * RATE)) for name in sets.split() for u in read_data_dir(data / name)]
        require_space(
            out, (out / name for name in sets.split()), archive_bytes(lengths, bins, compress), "the features"
        )
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job)
        prefix = out / name / f"feats.{job}"
        frames_file = out / name / f"utt2num_frames.{job}"
        utterances = read_data_dir(share)
        step = Step(
            prefix.with_name(f"feats.{job}.step.json"),
            {
                "kind": kind,
                "jobs": jobs,
                "compress": compress,
                "audio": audio_fingerprint(u.audio for u in utterances),
                **({} if bins == possible[0] else {"bins": bins}),
            },
            inputs=[share],
            outputs=[prefix.with_name(f"feats.{job}.scp"), frames_file],
        )
        if step.is_done():
            continue
        speeds = read_table(share / "utt2speed") if (share / "utt2speed").exists() else {}
        with step, ArchiveWriter(prefix, compress) as writer:
            counts = {}
            for batch in bar(_batches(utterances, batch_seconds), f"features of {name}"):
                audios = []
                for utterance in batch:
                    speed = float(speeds[utterance.id]) if utterance.id in speeds else None
                    audio = read_utterance(utterance, RATE, speed)
                    frames = num_frames(len(audio))
                    if frames == 0:
                        raise InputError(
                            f"{utterance.audio}: the utterance {utterance.id} lasts {1000 * len(audio) / RATE:.1f} ms,"
                            " less than the window of one frame; leave it out in stage 1"
                        )
                    if frames > most_frames:
                        raise InputError(
                            f"{utterance.audio}: the utterance {utterance.id} lasts {len(audio) / RATE:.1f} s, over"
                            " Whisper's 30; leave it out in stage 1"
                        )
                    audios.append(audio)
                for utterance, matrix in zip(batch, transform(audios, bins=bins, device=device), strict=True):
                    writer.write(utterance.id, matrix)
                    counts[utterance.id] = str(len(matrix))
            write_table(frames_file, counts)
        logger.info("wrote %d utterances to %s.ark", len(counts), prefix)


def _batches(utterances: list[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Utterances of similar length, at most `seconds` of padded audio together."""
    batch: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: (u.duration, u.id)):
        if batch and utterance.duration * (len(batch) + 1) > seconds:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


if __name__ == "__main__":
    program.main(extract_features)
