#!/usr/bin/env python3
"""A data directory whose wav.scp holds commands, as one whose wav.scp holds audio files."""

import hashlib
import logging
import re
import subprocess
from pathlib import Path

from salience import program
from salience.audio import audio_duration
from salience.data.layout import PER_RECORDING, PER_SPEAKER, PER_UTTERANCE
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.files import publish, temporary_name, whole_file

logger = logging.getLogger("run_wav_commands")

OURS = re.compile(r"([0-9a-f]{20}|[0-9]{7})\.wav|\..*\.wav\.tmp")
"""Names of files that this program, also in earlier versions, writes into TARGET/audio."""


def run_wav_commands(source: Path, target: Path, allow: bool = False) -> None:
    """Write TARGET: SOURCE, with what each command of wav.scp prints in TARGET/audio.

    Nothing else here runs a command that stands in data: it may do anything
    that you may.  Without --allow true the commands are shown and not run.
    Audio that an earlier run wrote for the same recording with the same command
    is kept, so a run that was stopped goes on.  Audio and tables that SOURCE
    no longer has are removed from TARGET.

    Args:
        source: A data directory, for instance of Kaldi, whose wav.scp has lines that end with |.
        target: The data directory to write.
        allow: Run the commands.
    """
    table = read_table(source / "wav.scp")
    commands = {key: value[:-1].strip() for key, value in table.items() if value.endswith("|")}
    if source.resolve() == target.resolve():
        raise InputError(f"{target} cannot be made from itself; give another folder with --target")
    if not allow:
        for key, command in commands.items():
            logger.info("%s: %s", key, command)
        raise InputError(
            f"{source / 'wav.scp'} holds {len(commands)} commands, shown above; run them with --allow true if you trust"
            " whoever wrote them"
        )
    audio = target / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    ran = 0
    for key, command in commands.items():
        # The name tells what the file holds.  An id may hold what leads out of the folder.
        shown = f"{source / 'wav.scp'}: the command of {key}"
        path = audio / f"{hashlib.sha256(f'{key} {command}'.encode()).hexdigest()[:20]}.wav"
        if not path.exists() or not path.stat().st_size:
            logger.info("%s: %s", key, command)
            _run(command, path, shown)
            ran += 1
        try:
            audio_duration(path)
        except InputError as error:
            path.unlink()  # so that the next run asks the command again
            raise InputError(f"{shown} wrote no audio: {error}") from None
        table[key] = str(path)
    for name in {*PER_UTTERANCE, *PER_SPEAKER, *PER_RECORDING, "spk2utt"} - {"wav.scp"}:
        if (source / name).exists():
            with whole_file(target / name, "wb") as handle:
                handle.write((source / name).read_bytes())
        else:
            (target / name).unlink(missing_ok=True)
    write_table(target / "wav.scp", table)
    kept = {Path(path).name for path in table.values()}
    stale = [path for path in audio.iterdir() if OURS.fullmatch(path.name) and path.name not in kept]
    for path in stale:
        path.unlink()
    logger.info(
        "wrote %s: ran %d commands, kept the audio of %d, removed %d files",
        target,
        ran,
        len(commands) - ran,
        len(stale),
    )


def _run(command: str, path: Path, shown: str) -> None:
    """Write what a command prints to `path`, whole or not at all; `shown` begins the sentence on one that fails."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as handle:
            code = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=handle, check=False).returncode
        if code:
            raise InputError(f"{shown} ended with {code}; its words stand above")
        if not temporary.stat().st_size:
            raise InputError(f"{shown} wrote nothing; run it by hand and correct it")
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    program.main(run_wav_commands)
