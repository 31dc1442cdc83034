"""Which espeak-ng voice stands for which accent in the synthetic corpora."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from salience.audio import as_int16
from salience.corpora.synthetic.espeak import Voice
from salience.files import read_yaml
from salience.randomness import generator


@dataclass(frozen=True)
class AccentVoice:
    """The voice of an accent: espeak-ng name, what it really is, and how words are spelled for it."""

    name: str
    is_really: str
    spelling: dict[str, str] = field(default_factory=dict)

    def spell(self, text: str) -> str:
        """`text` as it must be written for this voice."""
        return " ".join(self.spelling.get(word, word) for word in text.lower().split())


_TABLES = read_yaml(Path(__file__).with_name("voices.yaml"), "restore it")


def accents(group: str) -> dict[str, AccentVoice]:
    """A group of voices.yaml: accent to the voice that stands for it."""
    return {label: AccentVoice(*entry) for label, entry in _TABLES[group].items()}


STANDARD = tuple(accents("standard").values())
EDACC_SEEN, EDACC_UNSEEN = accents("edacc_seen"), accents("edacc_unseen")
COMMON_ACCENT, FSDD_ACCENTS, ARCHIVE = accents("common_accent"), accents("fsdd"), accents("archive")
MINI_VARIANTS, PRETRAINING_VARIANTS = (
    {name: gender for gender, names in _TABLES[group].items() for name in names}
    for group in ("mini_variants", "pretraining_variants")
)
"""Variants of the voices with the gender that they suggest; no variant is in both."""


@dataclass(frozen=True)
class Speaker:
    """One synthetic speaker of an accent."""

    accent: AccentVoice
    voice: Voice
    gender: str

    def line(self, text: str) -> tuple[str, Voice]:
        """The job for `espeak.speak` that makes this speaker say `text`."""
        return self.accent.spell(text), self.voice

    def take(self, text: str, random: np.random.Generator) -> tuple[str, Voice]:
        """As `line`, a little higher or lower, faster or slower: a person never says a word twice alike."""
        spelled, voice = self.line(text)
        pitch, rate = (int(random.integers(-4, 5)) + base for base in (voice.pitch, voice.rate))
        return spelled, replace(voice, pitch=pitch, rate=rate)

    @property
    def description(self) -> str:
        """Everything needed to speak like this again."""
        return f"{self.voice.name} pitch {self.voice.pitch} range {self.voice.range} rate {self.voice.rate}"


def cast(
    accents: Sequence[AccentVoice], count: int, *names: object, variants: dict[str, str] = MINI_VARIANTS
) -> list[Speaker]:
    """`count` speakers who take turns in `accents`, the same for the same names (seed, corpus, label).

    The variants are drawn from one pool for all accents, so a variant says
    nothing about the accent; none comes twice before all have come once.
    """
    random = generator("cast", *names)
    pool: list[str] = []
    while len(pool) < count:
        pool += [str(name) for name in random.permutation(sorted(variants))]
    return [
        Speaker(
            accent := accents[number % len(accents)],
            Voice(
                f"{accent.name}+{variant}",
                pitch=int(random.integers(38, 63)),
                range=int(random.integers(40, 61)),
                rate=int(random.integers(150, 191)),
            ),
            variants[variant],
        )
        for number, variant in enumerate(pool[:count])
    ]


def write_note(root: Path, corpus: str, *groups: dict[str, AccentVoice], others: Sequence[str] = ()) -> None:
    """Write SYNTHETIC.txt: what this folder is, and the voice behind each accent of `groups`; `others` refer to it."""
    for name in others:
        (root / name).write_text("Synthetic; see SYNTHETIC.txt.\n", encoding="utf-8")
    lines = [f"{label}\t{voice.name}\t{voice.is_really}\n" for group in groups for label, voice in group.items()]
    (root / "SYNTHETIC.txt").write_text(
        f"This is not {corpus}. It is a small synthetic corpus in the same on-disk format, spoken by\n"
        "espeak-ng through espeakng-loader. Nobody recorded it, and no result on it says anything about\n"
        "people.\n\n"
        "accent\tvoice\twhat the voice is\n" + "".join(lines),
        encoding="utf-8",
    )


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the silence at either end."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def as_audio(samples: np.ndarray, *names: object) -> np.ndarray:
    """A recording of synthetic speech: level and faint noise of its own, as 16-bit samples.

    The level is -23 dB (rms, full scale) give or take 3, the noise -58 dB give
    or take 4, both drawn from `names` alone and from the same range for every
    speaker and accent, so that neither tells them apart.
    """
    random = generator("recording", *names)
    level = 10 ** ((-23 + random.uniform(-3, 3)) / 20)
    noise = 10 ** ((-58 + random.uniform(-4, 4)) / 20)
    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1.0
    spoken = samples * min(level / loudness, 0.95 / (float(np.abs(samples).max()) or 1.0))
    noisy = spoken + noise * random.standard_normal(len(samples), dtype=np.float32)
    return as_int16(noisy)
