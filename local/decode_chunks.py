#!/usr/bin/env python3
"""Stage 2: clips of any format as packed arrays at 16 kHz, a chunk at a time, within a bound of disk space."""

import logging
import shutil
from pathlib import Path

from salience import program
from salience.data.chunks import Chunk, decode, plan, remove_others, write_view
from salience.data.directories import read_data_dir
from salience.errors import InputError
from salience.files import used_bytes, whole_file
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(Path(__file__).name)

RATE = 16000
GB = 1e9
RECORD = 4096
"""Bytes, at most, of a chunk's step.json."""


def decode_chunks(
    data: Path,
    out: Path,
    sets: str,
    chunk: int = 0,
    only: int = 0,
    together: str = "",
    max_disk_gb: float = 100.0,
    seed: int = 0,
) -> None:
    """Decode sets to OUT/SET/signals.npy, or with --chunk to OUT/SET/chunk0001 and so on, 16-bit at 16 kHz.

    The bound covers everything below --out at any moment: what these sets
    take, finished or in the making, and what else is there.  It does not
    cover the corpus itself, models and maps.  When the sets cannot fit in it,
    or in what is free, nothing is decoded.  One chunk at a time fits in less:
    with --only the set's other chunks are removed first.  A run that was
    interrupted goes on with the first chunk that is not whole.
    OUT/SET/chunks lists all chunks: name, clips, seconds.  Sets that share
    clips need not hold them several times: see --together.

    Args:
        data: folder of the data directories
        out: folder for the arrays
        sets: sets, separated by spaces
        chunk: clips in a chunk; 0 makes no chunks
        together: decode the clips of all sets once, to OUT/TOGETHER; OUT/SET then links to it, with a table of its own
        only: decode only this chunk of each set, counted from 1, and remove the set's others
        max_disk_gb: how much may be below OUT, in units of 1e9 bytes
        seed: seed of the order in which clips are dealt to chunks
    """
    if chunk < 0 or only < 0 or (only and not chunk):
        raise InputError("--chunk is a number of clips and --only the number of a chunk, which needs --chunk")
    if together and chunk:
        raise InputError("--together and --chunk cannot be used together; choose one")
    members = {name: read_data_dir(data / name) for name in sets.split()}
    for name, utterances in members.items():
        if not utterances:
            raise InputError(f"{data / name} holds no utterance; run stage 1 again")
    decoded = members
    if together:
        once = {utterance.id: utterance for utterances in members.values() for utterance in utterances}
        decoded = {together: sorted(once.values(), key=lambda utterance: utterance.id.encode())}
    work: list[Chunk] = []
    for name, utterances in decoded.items():
        chunks = plan(out / name, utterances, chunk, seed)
        if only > len(chunks):
            raise InputError(f"{name} has {len(chunks)} chunks of {chunk} clips, so there is no --only {only}")
        if chunk:
            with whole_file(out / name / "chunks") as handle:
                for part in chunks:
                    seconds = sum(utterance.duration for utterance in part.utterances)
                    handle.write(f"{part.folder.name} {len(part.utterances)} {seconds:.2f}\n")
        work += chunks[only - 1 : only] if only else chunks
    _check_space(work, out, [out / name for name in {**members, **decoded}], max_disk_gb, _less(work, chunk, together))
    for name in decoded:
        remove_others(out / name, [part.folder for part in work])
    for part in work:
        step = Step(
            part.folder / "step.json",
            {
                "rate": RATE,
                "clips": [len(part.utterances), part.utterances[0].id, part.utterances[-1].id],
                "audio": audio_fingerprint(u.audio for u in part.utterances),
            },
            outputs=[part.folder / "signals.npy", part.folder / "utterances"],
        )
        if step.is_done():
            continue
        with step:
            decode(part, RATE)
        logger.info("%d clips are in %s", len(part.utterances), part.folder)
    if together:
        for name, utterances in members.items():
            remove_others(out / name, [])
            write_view(out / name, out / together, utterances)


def _less(work: list[Chunk], chunk: int, together: str) -> str:
    """What makes the work take less disk."""
    if chunk and len(work) > 1:
        return f"or decode a chunk at a time with --only, {max(map(_most_bytes, work)) / GB:.3g} GB"
    if chunk:
        return f"or lower --chunk {chunk}"
    if together:
        return (
            "or make the sets smaller (train_limit, dev_limit, test_limit, max_per_accent and max_per_gender in"
            " conf/data.yaml)"
        )
    return "or decode a part at a time with --chunk"


def _most_bytes(part: Chunk) -> int:
    return part.most_bytes(RATE) + RECORD


def _check_space(work: list[Chunk], out: Path, folders: list[Path], max_disk_gb: float, way: str) -> None:
    """Refuse before anything is written when the work cannot fit."""
    needed = sum(map(_most_bytes, work))
    others = used_bytes(out) - sum(used_bytes(folder) for folder in folders)
    if needed + others > max_disk_gb * GB:
        raise InputError(
            f"the decoded clips need about {needed / GB:.3g} GB and {out} holds {others / GB:.3g} GB of others, "
            f"more than --max-disk-gb {max_disk_gb:g}; raise it, {way}"
        )
    # What the sets hold now is kept or removed first.
    there = sum(used_bytes(folder) for folder in folders)
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed - there > free:
        raise InputError(
            f"the decoded clips need about {needed / GB:.3g} GB and the disk of {out} has {free / GB:.3g} GB free; "
            f"free some, {way}"
        )


if __name__ == "__main__":
    program.main(decode_chunks)
