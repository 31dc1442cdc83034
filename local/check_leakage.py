#!/usr/bin/env python3
"""Report what training, development and test sets share."""

from pathlib import Path

from salience import program
from salience.data.bidi import isolated
from salience.data.leakage import Overlap, examples, overlaps, sentence_key, unknown_speakers
from salience.data.normalisers import normaliser as resolve
from salience.data.tables import iterate_table
from salience.errors import InputError
from salience.files import whole_file


def check_leakage(
    train: str,
    test: str,
    report: Path,
    dev: str = "",
    allow_shared_speakers: str = "",
    forbid_shared_sentences: bool = False,
    forbid_shared_recordings: bool = False,
    normaliser: str = "",
) -> None:
    """Write a report of shared speakers, sentences and recordings, and fail when speakers cross.

    Training, development and test sets must have different speakers.  Sets of
    the same kind may share them, since no score compares those.  Sentences
    are compared without case and punctuation.  Recordings are the audio files
    or, where a set has utt2recording, the long recordings that it names.  Ends
    with exit code 1 after the report is written.

    Args:
        train: Data directories that models are trained on, separated by spaces.
        test: Data directories that are scored.
        report: The report, in Markdown.
        dev: Data directories that models are selected on.
        allow_shared_speakers: Names (without the path) of sets that may share speakers with others.
        forbid_shared_sentences: Fail on shared sentences, too.
        forbid_shared_recordings: Fail on shared recordings, too.
        normaliser: Name of a text normaliser; sentences that it makes equal are the same.
    """
    kind_of = {
        Path(folder): kind
        for kind, folders in (("train", train), ("dev", dev), ("test", test))
        for folder in folders.split()
    }
    names = {folder.name for folder in kind_of}
    allowed = set(allow_shared_speakers.split())
    if not allowed <= names:
        raise InputError(f"--allow-shared-speakers names {min(allowed - names)}, no set of {examples(sorted(names))}")
    normalise = resolve(normaliser)[0] if normaliser else str
    crossing: list[Overlap] = []
    repeated: list[Overlap] = []
    torn: list[Overlap] = []
    lines = [
        "# What the sets share",
        "",
        "Speakers must not cross between training, development and test sets.",
        "Sentences are compared without case and punctuation; utterances are the second set's.",
        "",
    ]
    unknown = {
        folder: note
        for folder in kind_of
        for note in unknown_speakers(folder.name, (row[1:] for row in iterate_table(folder / "utt2spk")))
    }
    details: list[str] = []
    table = ["| sets | speakers | sentences | recordings | verdict |", "|---|---|---|---|---|"]
    for overlap in overlaps(kind_of, lambda text: sentence_key(normalise(text))):
        pair = f"{overlap.first.name} and {overlap.second.name}"
        disjoint = kind_of[overlap.first] != kind_of[overlap.second]
        decided = allowed & {overlap.first.name, overlap.second.name}
        said = sum(overlap.sentences.values())
        all_known = not {overlap.first, overlap.second} & unknown.keys()
        verdict = "disjoint speakers" if all_known else "no shared speakers known"
        if overlap.speakers and not disjoint:
            verdict = f"both are {kind_of[overlap.first]} sets"
        elif overlap.speakers and decided:
            verdict = f"SHARED SPEAKERS, allowed for {' and '.join(sorted(decided))}"
        elif overlap.speakers:
            verdict = "SHARED SPEAKERS, an error"
            crossing.append(overlap)
        if overlap.recordings and disjoint and forbid_shared_recordings:
            torn.append(overlap)
            verdict = verdict if overlap.speakers else "SHARED RECORDINGS, an error"
        if overlap.sentences and disjoint:
            repeated.append(overlap)
        share = f" ({said} of {overlap.spoken} utterances)" if said else ""
        table.append(
            f"| {pair} | {len(overlap.speakers)} | {len(overlap.sentences)}{share} "
            f"| {len(overlap.recordings)} | {verdict} |"
        )
        for what, found in (
            ("speakers", overlap.speakers),
            ("sentences", [f"{isolated(repr(sentence))} ({count})" for sentence, count in overlap.sentences.items()]),
            ("recordings", overlap.recordings),
        ):
            if found:
                details.append(f"- {what} of {pair}: {examples(found)}")
    lines += [line for note in unknown.values() for line in (f"**{note}.**", "")]
    if not details:
        details.append("Nothing is shared.")
    if allowed:
        lines += [
            f"**Shared speakers were allowed for {', '.join(sorted(allowed))}**: scores on these sets "
            "do not show how a system does on new speakers.",
            "",
        ]
    with whole_file(report) as handle:
        handle.write("\n".join([*lines, *table, "", "## Details", "", *details]) + "\n")
    print(f"leakage report: {report}")
    if crossing:
        first = crossing[0]
        raise InputError(
            f"{first.first} and {first.second} share the speakers {examples(first.speakers)}; keep each "
            f"in one of them, or allow it with --allow-shared-speakers {first.second.name} ({report} has all)"
        )
    if torn:
        first = torn[0]
        raise InputError(
            f"{first.first} and {first.second} share the recordings {examples(first.recordings)}; keep all clips of "
            f"each in one of them ({report} has all)"
        )
    if forbid_shared_sentences and repeated:
        first = repeated[0]
        raise InputError(
            f"{first.first} and {first.second} share {len(first.sentences)} sentences, such as "
            f"{next(iter(first.sentences))!r}; remove them from the training set ({report} has all)"
        )


if __name__ == "__main__":
    program.main(check_leakage)
