#!/usr/bin/env python3
"""Stage 2: each set's recordings as one array at 16 kHz, which trainings cut their batches from."""

import logging
import shutil
from pathlib import Path

from salience import program
from salience.data.directories import read_data_dir
from salience.data.packed import chunk_of, max_bytes, pack, write_view
from salience.errors import InputError, stale
from salience.features.keywords import RATE, SAMPLES, SHORTEST
from salience.files import require_space, used_bytes
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(Path(__file__).name)

GB = 1e9


def pack_waveforms(
    data: Path,
    out: Path,
    sets: str,
    pad: bool = False,
    int16: bool = False,
    together: str = "",
    chunk: int = 0,
    only: int = 1,
    max_disk_gb: float = float("inf"),
    check_space: bool = True,
    seed: int = 0,
) -> None:
    """Write OUT/SET/signals.npy and OUT/SET/utterances (first sample and number of samples).

    With --chunk, OUT/SET_chunk holds one chunk of the set, in the place of the
    one before.  When the sets cannot fit, nothing is written.

    Args:
        data: Folder of the data directories.
        out: Folder for the arrays.
        sets: Sets, separated by spaces.
        pad: The sets hold clips of one second at most; pad shorter ones with zeros.
        int16: Store 16-bit integers whatever the recordings are.
        together: Pack the clips of all sets once, in OUT/TOGETHER; OUT/SET then links to it, with a table of its own.
        chunk: Clips in a chunk; 0 makes no chunks.
        only: The chunk to pack, counted from 1.
        max_disk_gb: Most that may lie below OUT at any moment, in units of 1e9 bytes.
        check_space: Refuse to start where the disk has no room for what will be written.
        seed: Random seed for the order in which clips are dealt to chunks.
    """
    if together and chunk:
        raise InputError("--together and --chunk cannot be used together; choose one")
    members = {name: read_data_dir(data / name) for name in sets.split()}
    for name, utterances in members.items():
        if not utterances:
            raise stale(data / name, "holds no utterance")
    work = dict(members)
    if together:
        once = {utterance.id: utterance for utterances in members.values() for utterance in utterances}
        work = {together: sorted(once.values(), key=lambda utterance: utterance.id.encode())}
    elif chunk:
        work = {f"{name}_chunk": chunk_of(utterances, chunk, only, seed) for name, utterances in members.items()}
    width = SAMPLES if pad else None
    steps = {
        name: Step(
            out / name / "step.json",
            {"rate": RATE, "width": width, "int16": int16, "chunk": [chunk, only, seed] if chunk else None}
            | {"audio": audio_fingerprint(u.audio for u in utterances)},
            inputs=[data / given / table for given in members for table in ("wav.scp", "segments")],
            outputs=[out / name / "signals.npy", out / name / "utterances"],
        )
        for name, utterances in work.items()
    }
    waiting = [name for name, step in steps.items() if not step.is_done()]
    folders = [out / name for name in {**members, **work}]
    needed = sum(max_bytes(utterances, RATE, width, int16) for utterances in work.values())
    others = used_bytes(out) - sum(map(used_bytes, folders))
    if needed + others > max_disk_gb * GB:
        way = (
            "lower --chunk" if chunk else "make the sets smaller" if together else "take a part at a time with --chunk"
        )
        raise InputError(
            f"the waveforms need about {needed / GB:.3g} GB and {out} holds {others / GB:.3g} GB of others, "
            f"more than --max-disk-gb {max_disk_gb:g}; raise it, or {way}"
        )
    if check_space and waiting:
        require_space(out, folders, needed, "the waveforms")
    for name in waiting:
        with steps[name]:
            if chunk:
                shutil.rmtree(out / name, ignore_errors=True)
            pack(out / name, work[name], RATE, width, SHORTEST if pad else 1, int16)
        logger.info("%d recordings are in %s", len(work[name]), out / name)
    for name, utterances in members.items() if together else ():
        write_view(out / name, out / together, utterances)


if __name__ == "__main__":
    program.main(pack_waveforms)
