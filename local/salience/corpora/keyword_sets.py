"""The sets of a keyword recipe: by the corpus' lists, checked for completeness, and written with their noise."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from salience.corpora import speech_commands as corpus
from salience.corpora.clips import BadClips
from salience.corpora.keyword_noise import Noise
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.errors import InputError
from salience.files import visible, write_json, write_lines

PAPER_NOISE = {"noise_train": 702, "noise_test": 175}
"""Pieces in the paper, each the first second of a recording."""

Members = Mapping[str, Sequence[Utterance]]
"""Set name to its utterances."""


def check_counts(sets: Members, root: Path, partial: bool) -> None:
    """Raise InputError for a word without training clips, or a whole corpus that lacks clips and is not `partial`."""
    for name, file in corpus.LISTS.items():
        if not sets[name]:
            raise InputError(
                f"{root / file} names no clip of the words taken; unpack the corpus again, or name in it "
                f"the clips of some speakers, which are then the {name} set"
            )
    trained = {utterance.text for utterance in sets["train"]}
    for word in sorted({utterance.text for name in ("dev", "test") for utterance in sets[name]} - trained):
        raise InputError(
            f"{root / word} holds no clip that the lists leave for training; add some, or leave the word out of `words`"
        )
    counts = {name: len(members) for name, members in sets.items()}
    if not partial and counts != corpus.COUNTS and trained.issuperset(corpus.WORDS):
        here, whole = ("/".join(f"{count:,}" for count in numbers.values()) for numbers in (counts, corpus.COUNTS))
        raise InputError(
            f"{root} has all {len(corpus.WORDS)} words but {here} clips for training, dev and test "
            f"instead of {whole}; unpack version 0.02 of the corpus again, or accept what is there with `partial: true`"
        )


def published_mixtures(
    folder: Path, start: str, snrs: Sequence[str], test: Sequence[Utterance], bad: BadClips
) -> dict[str, list[Utterance]]:
    """Find the published mixtures of the test set's utterances, by SNR, in folders `<start>_<SNR>_dB`."""
    mixtures = {}
    for snr in snrs:
        name = f"{start}_{snr}_dB"
        found = next((p for p in (folder / name, *visible(folder.glob(f"*/{name}"))) if p.is_dir()), None)
        if found is None:
            raise InputError(
                f"{folder} holds no folder {name}; unpack the published archive again and give its folder, "
                "or choose the ratios that it has with --snrs"
            )
        clips = (replace(u, audio=found / u.text / u.audio.name) for u in test)
        mixtures[snr] = bad.usable(clips, measure=corpus.clip_duration)
    return mixtures


def write_noise(folder: Path, found: Sequence[Utterance]) -> None:
    """Write a data directory of noise, which has no text; without any noise, remove what an earlier run left."""
    shutil.rmtree(folder, ignore_errors=True)
    if found:
        write_data_dir(folder, found)
        (folder / "text").unlink()


def write_noisy(
    folder: Path, test: Sequence[Utterance], table: Mapping[str, str], mixtures: Mapping[str, Sequence[Utterance]]
) -> str:
    """Write a noisy test set: its mixtures by SNR, or else the `table` noise; returns a line for preparation.txt."""
    # Another run may have left a table, or mixtures.
    shutil.rmtree(folder, ignore_errors=True)
    write_data_dir(folder, test)
    for snr, members in mixtures.items():
        write_data_dir(folder / snr, members)
    if mixtures:
        return f"{folder.name}: the published mixtures at {' '.join(mixtures)} dB."
    write_table(folder / "noise", dict(table))
    return f"{folder.name}: the clips, and in `noise` what each is mixed with."


def write_lists(out: Path, sets: Members, inside: Noise, outside: Noise, notes: Sequence[str]) -> None:
    """Write words, sizes.json, preparation.txt, and noise_train.txt and noise_test.txt: files and seconds."""
    words = sorted({utterance.text for utterance in sets["train"]})
    noise = {"noise_train": inside.train, "noise_test": inside.test}
    write_lines(out / "words", words)
    for name, pieces in noise.items():
        write_lines(out / f"{name}.txt", [f"{p.audio} {p.start:.0f}" for p in sorted(pieces, key=lambda p: p.id)])
    sizes = {
        "words": len(words),
        **{name: len(members) for name, members in {**sets, **noise}.items()},
        **{f"{name}_recordings": len({piece.recording for piece in pieces}) for name, pieces in noise.items()},
        "noise_other_seconds": round(sum(recording.duration for recording in outside.recordings), 3),
    }
    official = {"words": len(corpus.WORDS), **corpus.COUNTS, **PAPER_NOISE}
    of_recordings = {f"{name}_recordings": count for name, count in PAPER_NOISE.items()}
    write_json(out / "sizes.json", {**sizes, "official": official | of_recordings})
    lines = [*_differences(sizes, official), "", *_tables(sets, words), "", f"In-domain noise: {inside.told}."]
    lines.append(f"Out-of-domain noise: {outside.told}, {sizes['noise_other_seconds']:,.1f} s.")
    write_lines(out / "preparation.txt", [*lines, *notes])


def _differences(sizes: Mapping[str, float], official: Mapping[str, int]) -> list[str]:
    differing = [name for name in official if sizes[name] != official[name]]
    return [
        f"This differs from the whole corpus and the paper's noise in {', '.join(differing)}."
        if differing
        else "This is the whole corpus, with as much noise as the paper's.",
        "",
        "                  here      whole",
        *(f"{name:<12} {sizes[name]:>9,} {official[name]:>10,}" for name in official),
    ]


def _tables(sets: Members, words: Sequence[str]) -> list[str]:
    """Sizes of the sets, the speakers that they share, and the clips of each word."""
    speakers = {name: {u.speaker for u in members} for name, members in sets.items()}
    lines = ["set    utterances  minutes  speakers  under a second"]
    for name, members in sets.items():
        lines.append(
            f"{name:<6} {len(members):>10,} {sum(u.duration for u in members) / 60:>8.1f} "
            f"{len(speakers[name]):>9,} {sum(u.duration < 1 for u in members):>15,}"
        )
    lines.append("")
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        shared = len(speakers[first] & speakers[second])
        lines.append(f"{first} and {second} share {f'{shared:,} speakers' if shared else 'no speaker'}.")
    lines += ["", "word       " + "".join(f"{name:>8}" for name in sets)]
    for word in words:
        counts = (sum(u.text == word for u in members) for members in sets.values())
        lines.append(f"{word:<11}" + "".join(f"{count:>8,}" for count in counts))
    return lines
