#!/usr/bin/env python3
"""The recordings of a Multi-CAST corpus as a list for the collection, and their timed utterances as its reference."""

import logging
from pathlib import Path

from salience import program
from salience.collection.reference import COLUMNS
from salience.collection.sources import key_of
from salience.corpora import multicast
from salience.files import write_lines

logger = logging.getLogger("list_multicast")


def list_multicast(root: Path, out: Path, accent: str) -> None:
    """Write out/recordings.tsv and out/reference.tsv; run.sh takes them as --recordings-list and --reference.

    The utterances' text is left out: it is a transliteration in Latin letters.
    The speakers stand in the reference alone, for diarisation to find them.

    Args:
        root: The corpus: texts.csv, utterances.csv and audio/.
        out: Folder for the two tables.
        accent: The accent of all narratives; the corpus does not state one.
    """
    files = {text: path.absolute() for text, path in multicast.audio_files(root).items()}
    write_lines(out / "recordings.tsv", (f"{path}\t{accent}" for path in files.values()))
    keys = {text: key_of(path, out.absolute()) for text, path in files.items()}
    rows = [
        f"{keys[said.text_id]}\t{said.start:.3f}\t{said.end:.3f}\t{said.speaker}\t"
        for said in multicast.utterances(root)
        if said.text_id in keys
    ]
    write_lines(out / "reference.tsv", ["\t".join(COLUMNS), *rows])
    logger.info("%d recordings with %d utterances are listed in %s", len(files), len(rows), out)


if __name__ == "__main__":
    program.main(list_multicast)
