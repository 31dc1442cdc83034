"""The CMU Pronouncing Dictionary, 0.7b: American English, https://github.com/Alexir/CMUdict (its own BSD licence).

One file, as salience.data.lexicon reads it.
"""

from pathlib import Path

from salience.corpora import download
from salience.errors import InputError

RELEASE = download.release("cmudict")


def find_root(folder: Path) -> Path:
    """The file itself, or the one of the release's name in a folder."""
    path = folder / RELEASE.name if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the lexicon with --lexicon")
    return path


def fetch(target: Path, archive: Path | None = None) -> Path:
    """Download the release into `target`, or check the user's own file; returns the file."""
    return download.obtain(RELEASE, Path(target), archive, "--lexicon")
