#!/usr/bin/env python3
"""A data directory whose wav.scp holds commands, as one whose wav.scp holds audio files."""

import logging
import shutil
import subprocess
from pathlib import Path

from salience import program
from salience.corpora.headers import audio_duration
from salience.data.layout import PER_RECORDING, PER_SPEAKER, PER_UTTERANCE
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.files import publish, temporary_name

logger = logging.getLogger("run_wav_commands")


def run_wav_commands(source: Path, target: Path, allow: bool = False) -> None:
    """Write TARGET: SOURCE, with what each command of wav.scp prints in TARGET/audio.

    Nothing else here runs a command that stands in data: it may do anything
    that you may.  Without --allow true the commands are shown and not run.  An
    audio file that is there already is kept, so a run that was stopped goes on.

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
        raise InputError(f"{source / 'wav.scp'} holds {len(commands)} commands, shown above; run them with --allow true if you trust whoever wrote them")
    (target / "audio").mkdir(parents=True, exist_ok=True)
    for number, (key, command) in enumerate(commands.items()):
        # By number: an id may hold what leads out of the folder.
        path = target / "audio" / f"{number:07d}.wav"
        if not path.exists():
            logger.info("%s: %s", key, command)
            with open(temporary_name(path), "wb") as handle:
                code = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=handle, check=False).returncode
            if code:
                temporary_name(path).unlink()
                raise InputError(f"{source / 'wav.scp'}: the command of {key} ended with {code}; its words stand above")
            publish(temporary_name(path), path)
        audio_duration(path)
        table[key] = str(path)
    for name in (*PER_UTTERANCE, *PER_SPEAKER, *PER_RECORDING, "spk2utt"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    write_table(target / "wav.scp", table)
    logger.info("wrote %s: ran %d commands", target, len(commands))


if __name__ == "__main__":
    program.main(run_wav_commands)
