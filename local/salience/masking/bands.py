"""What a mask writes: another utterance's speech, or noise, in a band of frequencies, through the same mask.

A mixture is understood by the speech that a mask spares, or by the shape of
the noise.  With another's speech in a band, the noise as it was, the first is
gone and the second is left; with noise filling the band, both are gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salience.data.records import Utterance
from salience.errors import InputError
from salience.features.fbank import RATE
from salience.randomness import generator
from salience.registry import Registry


@dataclass(frozen=True)
class Band:
    """Frequencies from `low` up to `high`, in Hz."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    def holds(self, bins: int) -> np.ndarray:
        """Which of so many bins, from 0 Hz to half the sampling rate, lie in it: (bins,), boolean."""
        hertz = np.linspace(0, RATE / 2, bins)
        return (hertz >= self.low) & ((hertz < self.high) | (self.high >= RATE / 2))


def bands(text: str) -> list[Band]:
    """Read bands such as `0-1000 1000-2000`, in Hz."""
    found = []
    for word in text.split():
        low, dash, high = word.partition("-")
        if not (dash and low.isdecimal() and high.isdecimal() and int(low) < int(high) <= RATE / 2):
            raise InputError(f"a band is two frequencies from 0 to {RATE // 2} Hz such as 1000-2000, not {word!r}")
        found.append(Band(int(low), int(high)))
    return found


def in_band(signals: Tensor, band: Band) -> Tensor:
    """What signals (..., samples) have in a band: the other frequencies of their Fourier transform are zero."""
    spectra = torch.fft.rfft(signals)
    inside = torch.from_numpy(band.holds(spectra.shape[-1])).to(signals.device)
    return torch.fft.irfft(spectra * inside, signals.shape[-1])


@dataclass(frozen=True)
class Filling:
    """What stands in a band in the place of the utterance's own speech.

    Args:
        other: another utterance's speech; without it there is none
        noise: whether the mask lets all noise through there
    """

    other: bool = False
    noise: bool = False


FILLINGS: Registry[Filling] = Registry("filling of a band")
FILLINGS |= {"exchanged": Filling(other=True), "noise": Filling(noise=True), "silence": Filling()}


@dataclass(frozen=True)
class Replacement:
    """A filling of a band, or of all frequencies if there is none.

    Args:
        fill: its name in FILLINGS
        band: the band
    """

    fill: str
    band: Band | None = None

    @property
    def filling(self) -> Filling:
        """What stands there."""
        return FILLINGS[self.fill]

    def speech(self, own: np.ndarray, instead: np.ndarray) -> np.ndarray:
        """The own speech with something else in the band, (samples,) each."""
        if self.band is None:
            return instead
        return own + in_band(torch.from_numpy(instead - own), self.band).numpy()

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """The noise mask (frames, bins), open in the band if noise fills it."""
        inside = self.band.holds(mask.shape[1]) if self.band else True
        return np.where(inside, 1, mask).astype(mask.dtype) if self.filling.noise else mask


def others(utterances: Sequence[Utterance]) -> dict[str, Utterance]:
    """For each utterance's id, one of the set that says something else; which one depends on the id and the set."""
    if len({u.text for u in utterances}) < 2:
        raise InputError("all utterances of the set say the same, so none can stand in another's place")
    found = {}
    for utterance in utterances:
        draws = generator("exchanged", utterance.id)
        other = utterance
        while other.text == utterance.text:
            other = utterances[draws.integers(len(utterances))]
        found[utterance.id] = other
    return found


@dataclass(frozen=True)
class Condition:
    """One way in which speech is mixed with noise.

    Args:
        realisation: name of the noise realisation
        replaced: what stands in the place of the own speech
    """

    realisation: str
    replaced: Replacement | None = None


def conditions(out: str, realisations: str, fills: str, bands_text: str) -> Mapping[Path, Condition]:
    """Each realisation with each filling in each band, by the folder that `out` stands for.

    Args:
        out: folder with {realisation}, {fill} and {band} where there are several
        realisations: names of the noise realisations, separated by spaces
        fills: names in FILLINGS, separated by spaces; none: the own speech stays
        bands_text: the bands, as `bands` reads them; none: all frequencies
    """
    if bands_text and not fills:
        raise InputError("--bands needs --fill, which says what stands in them")
    if not realisations.split():
        raise InputError("--realisations names no noise realisation")
    for fill in fills.split():
        FILLINGS.check(fill)
    choices = {"realisation": realisations.split(), "fill": fills.split(), "band": bands(bands_text)}
    for name, values in choices.items():
        if len(values) > 1 and f"{{{name}}}" not in out:
            raise InputError(f"with several {name}s --out needs {{{name}}} in it")
    found = {}
    for realisation, fill, band in product(choices["realisation"], fills.split() or [""], choices["band"] or [None]):
        place = out.replace("{realisation}", realisation).replace("{fill}", fill).replace("{band}", str(band))
        found[Path(place)] = Condition(realisation, Replacement(fill, band) if fill else None)
    return found
