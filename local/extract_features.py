#!/usr/bin/env python3
"""Stage 2: Whisper log-mel features of one job's share of each set."""

import logging
from collections.abc import Iterator
from pathlib import Path

from salience import program
from salience.corpora.records import Utterance
from salience.data.audio import change_speed, read_audio
from salience.data.directories import read_data_dir
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter
from salience.features.logmel import FRAMES_30S, RATE, log_mel, num_frames
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
) -> None:
    """Write out/SET/feats.JOB.{ark,scp} and utt2num_frames.JOB: real frames only, (frames, 80) each.

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
    """
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job)
        prefix = out / name / f"feats.{job}"
        frames_file = out / name / f"utt2num_frames.{job}"
        utterances = read_data_dir(share)
        step = Step(
            prefix.with_name(f"feats.{job}.step.json"),
            {"jobs": jobs, "compress": compress, "audio": audio_fingerprint(u.audio for u in utterances)},
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
                    audio = read_audio(utterance.audio, RATE, utterance.start, utterance.end)
                    if utterance.id in speeds:
                        audio = change_speed(audio, RATE, float(speeds[utterance.id]))
                    if num_frames(len(audio)) > FRAMES_30S:
                        raise InputError(
                            f"{utterance.audio}: the utterance {utterance.id} lasts {len(audio) / RATE:.1f} s, over"
                            " Whisper's 30; leave it out in stage 1"
                        )
                    audios.append(audio)
                for utterance, matrix in zip(batch, log_mel(audios, device=device), strict=True):
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
