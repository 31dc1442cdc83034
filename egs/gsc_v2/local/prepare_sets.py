#!/usr/bin/env python3
"""Data directories of the Speech Commands recipe: speech, noise in and out of domain, and noisy test sets."""

import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor
from pathlib import Path
from typing import Literal

import numpy as np

from salience import program
from salience.corpora import musan as musan_corpus
from salience.corpora import qut_noise, recordings
from salience.corpora import speech_commands as corpus
from salience.corpora.clips import BadClips
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.errors import InputError
from salience.files import files_below, visible, whole_file, write_json
from salience.randomness import generator
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)

RATE = corpus.RATE
SNRS = ("-12.5", "-10", "0", "10", "20", "30", "40")
"""Of the published noisy test sets, as their folders' names have them."""

PUBLISHED = {"musan": "speech_command_test_musan", "qut": "speech_command_test_QUT"}
"""How the names of those folders begin."""

SHARE = 0.8
"""Of the in-domain noise, for training."""

PARTED = 3
"""Seconds: in a shorter recording, that share of the whole seconds is all of them."""

PAPER_NOISE = {"noise_train": 702, "noise_test": 175}


@dataclass
class Noise:
    """What is known of one noisy test set: its noise, or mixtures that others made of it."""

    name: str
    told: str
    """One line for preparation.txt."""
    recordings: list[Utterance] = field(default_factory=list)
    train: list[Utterance] = field(default_factory=list)
    test: list[Utterance] = field(default_factory=list)
    mixtures: dict[str, list[Utterance]] = field(default_factory=dict)


def main(
    out: Path,
    corpora: Path,
    noise: str = "musan",
    other_noise: str = "qut",
    published_musan: str = "",
    published_qut: str = "",
    qut_placement: Literal["ours", "published"] = "ours",
    words: str = "",
    partial: bool = False,
    snrs: str = " ".join(SNRS),
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write the data directories of speech, of noise and of noisy test sets below <out>.

    train, dev and test are the corpus' own, by its lists.  noise_train and
    noise_test hold pieces of one second: of MUSAN the first second of each
    recording that lasts one, 80 % of the recordings for training; of another
    folder every whole second of a recording, the first 80 % for training, so
    that no second is in both, and of recordings too short to be parted so,
    80 % of the recordings.  noise_other holds whole recordings of another
    source.  test_<name> is the test set with a table `noise`: which noise
    each utterance gets at every SNR, and from which sample at 16 kHz; or with
    a published archive, test_<name>/<snr> are its mixtures.  <out>/words,
    sizes.json and preparation.txt say what was found and how it differs from
    the whole corpus and the paper's noise.

    Args:
        out: folder for the data directories
        corpora: folder of stage 0, with <corpus>/root.txt
        noise: in-domain noise: musan, background (the corpus' own), or a folder of recordings
        other_noise: out-of-domain noise: qut, or a folder of recordings
        published_musan: folder of the published mixtures with MUSAN, speech_command_test_musan_<SNR>_dB
        published_qut: folder of the published mixtures with QUT-NOISE, speech_command_test_QUT_<SNR>_dB
        qut_placement: published draws the places in the out-of-domain noise as the published script does
        words: take these words only, parted by spaces or commas (default: all)
        partial: go on when all 35 words are there and clips are missing
        snrs: of the published mixtures, parted by spaces
        skip_bad_clips: leave out clips and recordings of noise that are missing, damaged or not as the corpus has them,
            instead of stopping; bad_clips.tsv lists them
        seed: of the split of recordings of noise and of the pairing of utterances and noise
    """
    noise_name, other_name = Path(noise).name, Path(other_noise).name
    _check_options(noise_name, other_name, bool(published_qut), qut_placement)
    root = corpus.find_root(_root_of("speech_commands", corpora))
    chosen = words.replace(",", " ").split() or None
    bad = BadClips(out, skip_bad_clips)
    inside = _in_domain(noise, corpora, root, noise_name, seed, bad)
    outside = Noise(other_name, "none but the published mixtures")
    if other_noise != "qut" or not published_qut:
        outside = _out_of_domain(other_noise, corpora, other_name, bad)
    published = {
        "musan": Path(published_musan) if published_musan else None,
        "qut": Path(published_qut) if published_qut else None,
    }
    files = [
        *(root / name for name in corpus.LISTS.values()),
        *(path for word in corpus.words_in(root) for path in visible((root / word).glob("*.wav"))),
        *(recording.audio for recording in (*inside.recordings, *outside.recordings)),
        *bad.reasons,
        *(path for folder in published.values() if folder for path in files_below(folder) if path.suffix == ".wav"),
    ]
    config = {
        "corpora": [root, noise, other_noise, published_musan, published_qut],
        "qut_placement": qut_placement,
        "words": chosen,
        "partial": partial,
        "skip_bad_clips": skip_bad_clips,
        # Nothing else depends on them.
        "snrs": snrs.split() if published_musan or published_qut else None,
        "seed": seed,
        "files": audio_fingerprint(files),
    }
    step = Step(out / "step.json", config, [], [out / "preparation.txt", out / "sizes.json", out / "words"])
    if step.is_done():
        return

    sets: dict[str, list[Utterance]] = {split: [] for split in corpus.COUNTS}
    for utterance in corpus.utterances(root, chosen, bad):
        sets[utterance.split or ""].append(utterance)
    test = sets["test"]
    mixed = {
        kind: _mixtures(folder.absolute(), kind, snrs.split(), test, bad)
        for kind, folder in published.items() if folder is not None
    }  # fmt: skip
    bad.report()
    _check_counts(sets, root, partial or bool(bad.reasons))
    tables: dict[str, dict[str, str]] = {}
    for kind, found in (("musan", inside), ("qut", outside)):
        if kind in mixed:
            found.mixtures = mixed[kind]
        elif found is inside:
            tables[found.name] = pair_pieces(test, found.test, seed)
        elif qut_placement == "published":
            order = corpus.listed(root / corpus.LISTS["test"])
            tables[found.name] = pair_as_published(test, order, found.recordings)
        else:
            tables[found.name] = pair_places(test, found.recordings, seed)
    with step:
        for name, members in sets.items():
            write_data_dir(out / name, members)
        _write_noise(out / "noise_train", inside.train)
        _write_noise(out / "noise_test", inside.test)
        _write_noise(out / "noise_other", outside.recordings)
        for found in (inside, outside):
            folder = out / f"test_{found.name}"
            # Another run may have left a table, or mixtures.
            shutil.rmtree(folder, ignore_errors=True)
            write_data_dir(folder, test)
            if found.name in tables:
                write_table(folder / "noise", tables[found.name])
            for snr, members in found.mixtures.items():
                write_data_dir(folder / snr, members)
        _write_lists(out, sets, inside, outside, bad)
    counts = {name: len(members) for name, members in sets.items()}
    logger.info("wrote %s to %s", ", ".join(f"{name} ({count})" for name, count in counts.items()), out)


def _root_of(name: str, corpora: Path) -> Path:
    answer = corpora / name / "root.txt"
    if not answer.exists():
        raise InputError(f"{answer} does not exist; run stage 0")
    return Path(answer.read_text(encoding="utf-8").strip())


def _check_options(noise_name: str, other_name: str, published_qut: bool, qut_placement: str) -> None:
    if published_qut and qut_placement == "published":
        raise InputError("--published-qut needs no --qut-placement published; leave out one of them")
    if noise_name == other_name:
        raise InputError(f"--noise and --other-noise are both called {noise_name}; rename one of the folders")
    for option, name in (("--noise", noise_name), ("--other-noise", other_name)):
        if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
            raise InputError(f"{option} is called {name!r}; rename the folder: use letters, digits, - and _")


def _in_domain(noise: str, corpora: Path, root: Path, name: str, seed: int, bad: BadClips) -> Noise:
    if noise == "musan":
        folder = _root_of("musan", corpora)
        usable = _of_a_second(musan_corpus.noises(folder, bad), folder, "--musan-root", bad)
        train, test = split_recordings(usable, seed)
        told = f"the first second of each recording of noise in {folder}; noise_*.txt list them"
    else:
        folder = corpus.background(root) if noise == "background" else Path(noise).absolute()
        usable = _of_a_second(recordings.recordings(folder, bad=bad), folder, "--noise", bad)
        train, test = split_seconds(usable, seed)
        told = f"the seconds of {_number(usable)} in {folder}, of each the first {SHARE:.0%} for training"
        short = sum(recording.duration < PARTED for recording in usable)
        if short:
            told += f", but all or none of the {short} shorter than {PARTED} s"
    if not train or not test:
        raise InputError(
            f"{folder} holds too little noise for a second to train with and another to test with; give more with --noise"
        )
    return Noise(name, told, usable, train, test)


def _of_a_second(found: Sequence[Utterance], folder: Path, option: str, bad: BadClips) -> list[Utterance]:
    if not found:
        bad.report()
    return recordings.of_a_second(found, folder, option)


def _out_of_domain(other_noise: str, corpora: Path, name: str, bad: BadClips) -> Noise:
    if other_noise == "qut":
        folder = _root_of("qut_noise", corpora)
        found = qut_noise.noises(folder, bad)
    else:
        folder = Path(other_noise).absolute()
        found = recordings.recordings(folder, bad=bad)
    usable = _of_a_second(found, folder, "--other-noise", bad)
    return Noise(name, f"{_number(usable)} in {folder}", usable)


def _number(found: Sequence[Utterance]) -> str:
    return f"{len(found)} recording{'s' if len(found) > 1 else ''}"


def split_recordings(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """The first second of each recording: those for training, and those for testing, drawn by the seed."""
    learnt, kept = _drawn(usable, seed)
    return [recordings.piece(one, 0) for one in learnt], [recordings.piece(one, 0) for one in kept]


def split_seconds(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """All whole seconds: of each recording the first part for training, the rest for testing.

    A recording too short to have both parts goes to one side as a whole,
    drawn by the seed.
    """
    learnt, kept = _drawn([recording for recording in usable if recording.duration < PARTED], seed)
    train = [piece for recording in learnt for piece in recordings.whole_seconds(recording)]
    test = [piece for recording in kept for piece in recordings.whole_seconds(recording)]
    for recording in usable:
        if recording.duration >= PARTED:
            pieces = recordings.whole_seconds(recording)
            count = round(SHARE * len(pieces))
            train += pieces[:count]
            test += pieces[count:]
    return train, test


def _drawn(usable: Sequence[Utterance], seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Recordings for training, and for testing one at least where there are two."""
    drawn = sorted(usable, key=lambda recording: generator(seed, "noise", recording.id).random())
    count = min(round(SHARE * len(drawn)), max(len(drawn) - 1, 1))
    return drawn[:count], drawn[count:]


def pair_pieces(test: Iterable[Utterance], pieces: Sequence[Utterance], seed: int) -> dict[str, str]:
    """For each utterance one of the pieces, drawn with replacement, from its first sample."""
    ids = sorted(piece.id for piece in pieces)
    return {u.id: f"{ids[generator(seed, 'pair', u.id).integers(len(ids))]} 0" for u in test}


def pair_places(test: Iterable[Utterance], found: Sequence[Utterance], seed: int) -> dict[str, str]:
    """For each utterance a place a second before the end of a recording or earlier, all equally likely."""
    # Resampling may round a length either way.
    places = [floor(recording.duration * RATE + 1e-6) - RATE + 1 for recording in found]
    ends = np.cumsum(places)
    pairs = {}
    for utterance in test:
        place = int(generator(seed, "place", utterance.id).integers(ends[-1]))
        number = int(np.searchsorted(ends, place, side="right"))
        pairs[utterance.id] = f"{found[number].id} {place - ends[number] + places[number]}"
    return pairs


def pair_as_published(test: Iterable[Utterance], order: Iterable[str], found: Sequence[Utterance]) -> dict[str, str]:
    """The places that the published script draws: one each line of testing_list.txt, in its order.

    It seeds NumPy's old generator with 10 and draws below the recording's
    length at 16 kHz less two seconds; lines of words left out are drawn too.
    """
    if len(found) != 1:
        raise InputError(f"--qut-placement published needs one recording and there are {len(found)}; use QUT-NOISE")
    length = ceil(found[0].duration * RATE - 1e-6)
    if length <= 2 * RATE:
        raise InputError(
            f"{found[0].audio} lasts {length / RATE:.1f} s, and --qut-placement published needs more than 2; "
            "give a longer recording, or leave the option out"
        )
    random = np.random.RandomState(10)
    starts = {corpus.utterance_id(line): random.randint(0, length - 2 * RATE) for line in order}
    return {u.id: f"{found[0].id} {starts[u.id]}" for u in test}


def _mixtures(
    folder: Path, kind: str, snrs: Sequence[str], test: Sequence[Utterance], bad: BadClips
) -> dict[str, list[Utterance]]:
    """The published mixtures of the test set's utterances, SNR to records."""
    mixtures = {}
    for snr in snrs:
        name = f"{PUBLISHED[kind]}_{snr}_dB"
        found = next((p for p in (folder / name, *visible(folder.glob(f"*/{name}"))) if p.is_dir()), None)
        if found is None:
            raise InputError(
                f"{folder} holds no folder {name}; unpack the published archive again and give its folder "
                f"with --published-{kind}, or choose the ratios that it has with --snrs"
            )
        mixtures[snr] = bad.usable(
            (replace(u, audio=found / u.text / u.audio.name) for u in test), measure=corpus.clip_duration
        )
    return mixtures


def _check_counts(sets: Mapping[str, Sequence[Utterance]], root: Path, partial: bool) -> None:
    """Every word must be there to train with, and all the words of the whole corpus with all its clips."""
    for name, file in corpus.LISTS.items():
        if not sets[name]:
            raise InputError(
                f"{root / file} names no clip of the words taken; unpack the corpus again, or name in it "
                f"the clips of some speakers, which are then the {name} set"
            )
    learnt = {utterance.text for utterance in sets["train"]}
    for word in sorted({utterance.text for name in ("dev", "test") for utterance in sets[name]} - learnt):
        raise InputError(
            f"{root / word} holds no clip that the lists leave for training; "
            "add some, or leave the word out with --words"
        )
    counts = {name: len(members) for name, members in sets.items()}
    if partial or counts == corpus.COUNTS or not learnt.issuperset(corpus.WORDS):
        return
    raise InputError(
        f"{root} has all {len(corpus.WORDS)} words but {_shown(counts)} clips for training, dev and test "
        f"instead of {_shown(corpus.COUNTS)}; unpack version 0.02 of the corpus again, or accept what is there "
        "with partial: true in conf/data.yaml"
    )


def _shown(counts: Mapping[str, int]) -> str:
    return "/".join(f"{count:,}" for count in counts.values())


def _write_noise(folder: Path, found: Sequence[Utterance]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if found:
        write_data_dir(folder, found)
        # Noise says nothing.
        (folder / "text").unlink()


def _write_lists(
    out: Path, sets: Mapping[str, Sequence[Utterance]], inside: Noise, outside: Noise, bad: BadClips
) -> None:
    """words, sizes.json, preparation.txt, and what is in noise_train and noise_test: file and second."""
    words = sorted({utterance.text for utterance in sets["train"]})
    with whole_file(out / "words") as handle:
        handle.writelines(f"{word}\n" for word in words)
    noise = {"noise_train": inside.train, "noise_test": inside.test}
    for name, pieces in noise.items():
        with whole_file(out / f"{name}.txt") as handle:
            handle.writelines(f"{p.audio} {p.start:.0f}\n" for p in sorted(pieces, key=lambda p: p.id))
    sizes = {
        "words": len(words),
        **{name: len(members) for name, members in {**sets, **noise}.items()},
        **{f"{name}_recordings": len({piece.recording for piece in pieces}) for name, pieces in noise.items()},
        "noise_other_seconds": round(sum(recording.duration for recording in outside.recordings), 3),
    }
    official = {"words": len(corpus.WORDS), **corpus.COUNTS, **PAPER_NOISE}
    # Of each of the paper's recordings there is the first second.
    of_recordings = {f"{name}_recordings": count for name, count in PAPER_NOISE.items()}
    write_json(out / "sizes.json", {**sizes, "official": official | of_recordings})
    with whole_file(out / "preparation.txt") as handle:
        lines = [*_description(words, sizes, official, sets, inside, outside), *bad.left_out()]
        handle.write("\n".join(lines) + "\n")


def _description(
    words: Sequence[str],
    sizes: Mapping[str, float],
    official: Mapping[str, int],
    sets: Mapping[str, Sequence[Utterance]],
    inside: Noise,
    outside: Noise,
) -> list[str]:
    differing = [name for name in official if sizes[name] != official[name]]
    lines = [
        "This is the whole corpus, with as much noise as the paper's."
        if not differing
        else f"This differs from the whole corpus and the paper's noise in {', '.join(differing)}.",
        "",
        "                  here      whole",
        *(f"{name:<12} {sizes[name]:>9,} {official[name]:>10,}" for name in official),
        "",
        "set    utterances  minutes  speakers  under a second",
    ]
    for name, members in sets.items():
        lines.append(
            f"{name:<6} {len(members):>10,} {sum(u.duration for u in members) / 60:>8.1f} "
            f"{len({u.speaker for u in members}):>9,} {sum(u.duration < 1 for u in members):>15,}"
        )
    lines.append("")
    speakers = {name: {u.speaker for u in members} for name, members in sets.items()}
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        shared = len(speakers[first] & speakers[second])
        lines.append(f"{first} and {second} share {f'{shared:,} speakers' if shared else 'no speaker'}.")
    lines += ["", "word       " + "".join(f"{name:>8}" for name in sets)]
    for word in words:
        counts = [sum(u.text == word for u in members) for members in sets.values()]
        lines.append(f"{word:<11}" + "".join(f"{count:>8,}" for count in counts))
    lines += [
        "",
        f"In-domain noise: {inside.told}.",
        f"Out-of-domain noise: {outside.told}, {sizes['noise_other_seconds']:,.1f} s.",
    ]
    for found in (inside, outside):
        if found.mixtures:
            lines.append(f"test_{found.name}: the published mixtures at {' '.join(found.mixtures)} dB.")
        else:
            lines.append(f"test_{found.name}: the clips, and in `noise` what each is mixed with.")
    return lines


if __name__ == "__main__":
    program.main(main)
