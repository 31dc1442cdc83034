"""Which espeak-ng voice stands for which accent in the synthetic corpora.

A foreign voice reads the English spelling by its own rules, which is the
heavy accent wanted.  Where a voice would switch to its built-in English
instead (its script is not Latin, or a word looks foreign to it), the digits
are respelled by ear in the voice's own script.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salience.corpora.digits import DIGITS
from salience.corpora.synthetic.espeak import Voice
from salience.randomness import generator


@dataclass(frozen=True)
class AccentVoice:
    """The voice of an accent: espeak-ng name, what it really is, and the digits' spelling for it."""

    name: str
    is_really: str
    spelling: dict[str, str] = field(default_factory=dict)

    def spell(self, text: str) -> str:
        """`text` as it must be written for this voice."""
        return " ".join(self.spelling.get(word, word) for word in text.lower().split())


def _respelled(words: str) -> dict[str, str]:
    return dict(zip(DIGITS, words.split(), strict=True))


_ARABIC = _respelled("زِيرُو وَان تُو سِرِي فُور فَايف سِكس سِفِن إِيت نَاين")
_VIETNAMESE = _respelled("di-rô oăn tu thờ-ri pho phai xích xe-vần ây nai")
_HINDI = _respelled("ज़ीरो वन टू थ्री फ़ोर फ़ाइव सिक्स सेवन एट नाइन")
_GREEK = _respelled("ζίροου γουάν του θρι φορ φάιβ σιξ σέβεν έιτ νάιν")
_CHINESE = _respelled("吉洛 万 兔 斯里 佛 发夫 西克斯 赛文 艾特 奈恩")
_SPANISH = {"two": "tu"}
"""Spanish would spell out T, W and O."""

STANDARD = (AccentVoice("en-us", "American English"), AccentVoice("en-us-nyc", "New York City English"))
"""Standard American: what LibriSpeech is to the paper."""

EDACC_SEEN = {
    "Southern British English": AccentVoice("en-gb-x-rp", "British English, received pronunciation"),
    "Irish English": AccentVoice(
        "en-gb-x-gbcwmd", "West Midlands English, a stand-in: there is no Irish English voice"
    ),
    "Italian": AccentVoice("it", "Italian voice reading English"),
    "Egyptian": AccentVoice("ar", "Arabic voice reading English respelled by ear", _ARABIC),
    "Vietnamese": AccentVoice("vi", "Northern Vietnamese voice reading English respelled by ear", _VIETNAMESE),
}
"""The five EdAcc accents of the paper's Table 2."""

EDACC_UNSEEN = {
    "Scottish English": AccentVoice("en-gb-scotland", "Scottish English"),
    "Jamaican English": AccentVoice("en-029", "Caribbean English"),
    "Spanish": AccentVoice("es", "Spanish voice of Spain reading English", _SPANISH),
    "Latin American": AccentVoice("es-419", "Latin American Spanish voice reading English", _SPANISH),
    "Catalan": AccentVoice("ca", "Catalan voice reading English"),
}

COMMON_ACCENT = {
    "us": AccentVoice("en-us", "American English"),
    "england": AccentVoice("gmw/en", "British English"),
    "australia": AccentVoice("en-gb-x-rp", "British English, received pronunciation: a stand-in"),
    "indian": AccentVoice("hi", "Hindi voice reading English respelled by ear", _HINDI),
    "canada": AccentVoice("en-us-nyc", "New York City English: a stand-in"),
    "scotland": AccentVoice("en-gb-scotland", "Scottish English"),
    "african": AccentVoice("af", "Afrikaans voice reading English"),
    "ireland": AccentVoice("en-gb-x-gbcwmd", "West Midlands English: a stand-in"),
    "newzealand": AccentVoice("en-gb-x-gbclan", "Lancaster English: a stand-in"),
    "philippines": AccentVoice("id", "Indonesian voice reading English: a stand-in"),
    "wales": AccentVoice("cy", "Welsh voice reading English"),
    "bermuda": AccentVoice("en-029", "Caribbean English"),
    "malaysia": AccentVoice("ms", "Malay voice reading English"),
    "singapore": AccentVoice("gmw/en", "British English: a stand-in"),
    "hongkong": AccentVoice("cmn", "Mandarin voice reading English respelled by ear: a stand-in", _CHINESE),
    "southatlandtic": AccentVoice("gmw/en", "British English: a stand-in"),
}

FSDD_ACCENTS = {
    "USA/neutral": AccentVoice("en-us", "American English"),
    "DEU/German": AccentVoice("de", "German voice reading English"),
    "BEL/French": AccentVoice("fr-be", "Belgian French voice reading English"),
    "GRC/Greek": AccentVoice("el", "Greek voice reading English respelled by ear", _GREEK),
}

MINI_VARIANTS = {
    "f1": "f", "f3": "f", "f5": "f", "linda": "f", "Annie": "f", "grandma": "f",
    "m1": "m", "m3": "m", "m5": "m", "m7": "m", "adam": "m", "Alex": "m", "edward": "m", "Gene": "m",
    "Mario": "m", "max": "m", "marcelo": "m", "norbert": "m", "quincy": "m", "robert": "m",
}  # fmt: skip
"""Variants that sound like people, with the gender they suggest: the speakers of the mini corpora."""

PRETRAINING_VARIANTS = {
    "f2": "f", "f4": "f", "belinda": "f", "Alicia": "f", "aunty": "f", "Andrea": "f",
    "m2": "m", "m4": "m", "m6": "m", "m8": "m", "Andy": "m", "benjamin": "m", "david": "m", "grandpa": "m",
    "Lee": "m", "Michael": "m", "michel": "m", "paul": "m", "rob": "m", "sandro": "m",
}  # fmt: skip
"""Others, for the corpus that the mini Whisper learns to read from: no speaker of it is in a mini corpus."""


@dataclass(frozen=True)
class Speaker:
    """One synthetic speaker of an accent."""

    accent: AccentVoice
    voice: Voice
    gender: str

    def line(self, text: str) -> tuple[str, Voice]:
        """The job for `espeak.speak` that makes this speaker say `text`."""
        return self.accent.spell(text), self.voice

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


def write_note(root: Path, corpus: str, *groups: dict[str, AccentVoice]) -> None:
    """Write SYNTHETIC.txt: what this folder is, and the voice behind each accent of `groups`."""
    lines = [f"{label}\t{voice.name}\t{voice.is_really}\n" for group in groups for label, voice in group.items()]
    (root / "SYNTHETIC.txt").write_text(
        f"This is not {corpus}. It is a small synthetic corpus in the same on-disk format, spoken by\n"
        "espeak-ng through espeakng-loader. Nobody recorded it, and no result on it says anything about\n"
        "people.\n\n"
        "accent\tvoice\twhat the voice is\n" + "".join(lines),
        encoding="utf-8",
    )


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
    return np.clip(np.round(noisy * 32768), -32768, 32767).astype(np.int16)
