"""One corpus of what was collected from each recording."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from salience.collection.recording import Outcome
from salience.collection.reference import Reference, text_of
from salience.corpora import pdid
from salience.corpora.download import whole_folder


def write_corpus(
    root: Path, recordings: Path, outcomes: Mapping[str, Outcome], known: Mapping[str, Reference]
) -> list[pdid.Clip]:
    """Write the layout of PDID at `root`: metadata.tsv and <accent>/*.wav; return its clips.

    Args:
        root: the corpus, which appears whole
        recordings: the folders of the recordings' clips; the files are linked where the disk can do that
        outcomes: recording to what became of it
        known: recording to its timed utterances, which give the clips their text
    """
    clips = []
    with whole_folder(root) as corpus:
        for key, outcome in outcomes.items():
            for clip, span in zip(outcome.clips, outcome.found.clips, strict=True):
                folder = corpus / "_".join(clip.accent.replace("/", " ").split())
                folder.mkdir(exist_ok=True)
                _link(recordings / key / clip.path, folder / clip.path)
                text = text_of(span, known.get(key, Reference()))
                clips.append(replace(clip, path=f"{folder.name}/{clip.path}", text=text))
        pdid.write_metadata(corpus, clips)
    return clips


def _link(source: Path, target: Path) -> None:
    """The same file under a second name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
