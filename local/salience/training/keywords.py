"""How keyword networks and their mask generator are trained, with the whole corpus in memory.

A batch is a few index numbers.  Cutting the batch out of the corpus, the
transforms, the noise and the mixture are one call each, on the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from salience.data.packed import read_packed
from salience.data.tables import read_table
from salience.errors import InputError, stale
from salience.features.archives import Archive
from salience.features.keywords import BINS, FRAMES, SAMPLES, as_float, decibels, real_frames, spectra
from salience.masking.importance import batch_gain, binarise, mix, roll
from salience.masking.policies import SpecAugmentPolicy
from salience.models.keywords import build_recogniser, load_recogniser
from salience.models.mask_generator import MaskGenerator
from salience.randomness import generator
from salience.training.finetuning import FINETUNINGS, FineTuning, Sets, Task

MASK_LEVELS = 255
"""Masks are kept in memory as one byte a point."""

SCORING_BATCH = 256


class KeywordSet:
    """The clips of a set with their words, on a device.

    `waveforms` (utterances, 16000), `samples` and `labels` (utterances,).
    """

    def __init__(self, data: Path, packed: Path, words: Sequence[str], device: str = "cpu") -> None:
        source = read_packed(packed)
        text = read_table(data / "text")
        self.ids = source.ids
        for key in self.ids:
            if key not in text:
                raise InputError(f"{data}/text has no line for {key}, which {packed} has; run stages 1 and 2 again")
            if text[key] not in words:
                raise InputError(
                    f"{data}/text: {key} is the word {text[key]!r}, which the recogniser does not know"
                    f" ({', '.join(words)})"
                )
        number = {word: index for index, word in enumerate(words)}
        self.labels = torch.tensor([number[text[key]] for key in self.ids], device=device)
        self.waveforms = torch.from_numpy(np.array(source.rows(SAMPLES))).to(device)
        self.samples = torch.from_numpy(source.samples).to(device)

    def __len__(self) -> int:
        return len(self.ids)

    def spectra(self, rows: Tensor) -> Tensor:
        """Complex spectra (batch, bins, frames) of these utterances."""
        return spectra(as_float(self.waveforms[rows]), self.samples[rows])


class NoisePieces:
    """Pieces of noise of one second each, on a device."""

    def __init__(self, packed: Path, device: str = "cpu") -> None:
        source = read_packed(packed)
        self.ids = source.ids
        self.waveforms = torch.from_numpy(np.array(source.rows(SAMPLES))).to(device)

    def __len__(self) -> int:
        return len(self.ids)

    def spectra(self, rows: Tensor) -> Tensor:
        """Complex spectra (batch, bins, frames), of whole seconds."""
        return spectra(as_float(self.waveforms[rows]), torch.full((len(rows),), SAMPLES, device=rows.device))


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training clip; the defaults leave it clean.

    Args:
        method: `none`; `noise`, through masks or everywhere; `specaugment`.
        snr: Signal-to-noise ratio in dB of a batch with its noise before masking (equation 3).
        masks: `none`: noise everywhere; `own`: through each clip's mask; `other`: through another clip's,
            a control of the same area.
        percent: Binarise the masks: no noise at this share of a clip's points; 0 keeps them as they are.  The share
            is exact before masks are moved: in a clip shorter than a second, a move along time brings in some of the
            padding, where noise is everywhere, for some of the clip's own points.
        shift: D of equation 2: masks are moved by less than so many frames or bins.
        everywhere: Share of the batches (or utterances) that get noise everywhere instead.
        per: `batch`: one move along one axis for a whole batch, as the published code has it; `utterance`: each
            clip's own moves, along both axes, as the text may be read.
        specaugment: Masks of the method `specaugment`.
    """

    method: Literal["none", "noise", "specaugment"] = "none"
    snr: float = -12.5
    masks: Literal["none", "own", "other"] = "none"
    percent: float = 0.0
    shift: int = 30
    everywhere: float = 0.5
    per: Literal["batch", "utterance"] = "batch"
    specaugment: SpecAugmentPolicy = field(
        default_factory=lambda: SpecAugmentPolicy(time_width=25, time_share=0.2, frequency_width=40)
    )

    def __post_init__(self) -> None:
        if not isfinite(self.snr):
            raise InputError(f"--augmentation.snr is {self.snr}; give a number of dB")
        if not 0 <= self.percent < 100:
            raise InputError(f"--augmentation.percent is {self.percent:g}; give a number from 0 to less than 100")
        if self.shift < 0:
            raise InputError(
                f"--augmentation.shift is {self.shift}; give 0 for masks that stay in place, or a number above it"
            )
        if not 0 <= self.everywhere <= 1:
            raise InputError(f"--augmentation.everywhere is {self.everywhere:g}; give a share from 0 to 1")


class Draws(Dataset[dict[str, Tensor]]):
    """A training set as batches of numbers: which clips, which noise, which moves of the masks.

    Indexed by lists of (epoch, index).  All draws of an epoch are made at
    once and belong to the utterance, not to its place in the order.
    """

    def __init__(self, utterances: int, pieces: int, augmentation: Augmentation, seed: int) -> None:
        self.utterances, self.augmentation = utterances, augmentation

        @lru_cache(1)
        def noise(epoch: int) -> np.ndarray:
            return generator(seed, "noise", epoch).integers(pieces, size=utterances)

        def moves(epoch: int, first: int) -> tuple[np.ndarray, np.ndarray]:
            # A batch is known by its first utterance, which no other batch of the epoch has.
            random = generator(seed, "moves", epoch, first)
            size, shift = (utterances if augmentation.per == "utterance" else 1), augmentation.shift
            shifts = random.integers(-shift, shift, size=(size, 2)) if shift else np.zeros((size, 2), int)
            if augmentation.per == "batch":
                shifts[:, int(random.integers(2))] = 0
            return shifts, random.random(size) < augmentation.everywhere

        @lru_cache(1)
        def of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
            return moves(epoch, -1)

        @lru_cache(1)
        def spans(epoch: int) -> tuple[np.ndarray, np.ndarray]:
            return augmentation.specaugment.spans(utterances, FRAMES, BINS, generator(seed, "specaugment", epoch))

        @lru_cache(1)
        def other(epoch: int) -> int:
            return int(generator(seed, "other", epoch).integers(1, max(utterances, 2)))

        self._noise, self._moves, self._of_epoch, self._spans, self._other = noise, moves, of_epoch, spans, other

    def __len__(self) -> int:
        return self.utterances

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        epoch, rows = items[0][0], np.array([index for _, index in items])
        found: dict[str, np.ndarray] = {"rows": rows}
        chosen = self.augmentation
        if chosen.method == "noise":
            found["noise_rows"] = self._noise(epoch)[rows]
            if chosen.masks != "none":
                shifts, everywhere = (
                    self._of_epoch(epoch) if chosen.per == "utterance" else self._moves(epoch, int(rows[0]))
                )
                pick = rows if chosen.per == "utterance" else slice(None)
                found |= {"shifts": shifts[pick], "everywhere": everywhere[pick]}
                found["mask_rows"] = (rows + self._other(epoch)) % self.utterances if chosen.masks == "other" else rows
        elif chosen.method == "specaugment":
            found |= dict(zip(("kept_frames", "kept_bins"), (kept[rows] for kept in self._spans(epoch)), strict=True))
        return {name: torch.from_numpy(np.asarray(values)) for name, values in found.items()}

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Tensor]:
        return self.__getitems__([item])


def same(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of `Draws` is collated already."""
    return batch


def read_masks(scp: Path, ids: Sequence[str], samples: Tensor, percent: float) -> Tensor:
    """Masks of these utterances as bytes, (utterances, bins, frames), binarised if `percent` is above 0."""
    archive = Archive(scp)
    masks = torch.empty(len(ids), BINS, FRAMES, dtype=torch.uint8)
    frames = real_frames(samples.cpu()).sum(1)
    for row, key in enumerate(ids):
        matrix = archive[key]
        if matrix.shape != (FRAMES, BINS):
            raise InputError(
                f"{scp}: the mask of {key} is {matrix.shape[0]} by {matrix.shape[1]}, not {FRAMES} frames by {BINS}"
                " bins; run stage 4 again"
            )
        mask = torch.from_numpy(np.array(matrix.T))
        if percent:
            mask = binarise(mask[None], percent, frames[row : row + 1])[0]
        masks[row] = (mask * MASK_LEVELS).round().to(torch.uint8)
    return masks


class KeywordTraining(nn.Module):
    """A recogniser as `transformers.Trainer` wants it: numbers of clips, noise and moves in, loss out."""

    def __init__(
        self,
        recogniser: nn.Module,
        clips: KeywordSet,
        augmentation: Augmentation,
        noise: NoisePieces | None = None,
        masks: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.augmentation = augmentation
        # In a tuple, so that the corpus is not part of the model's state.
        self._material = (clips, noise, masks)

    def features(
        self,
        rows: Tensor,
        noise_rows: Tensor | None = None,
        mask_rows: Tensor | None = None,
        shifts: Tensor | None = None,
        everywhere: Tensor | None = None,
        kept_frames: Tensor | None = None,
        kept_bins: Tensor | None = None,
    ) -> Tensor:
        """What the recogniser reads of these clips: decibels (batch, bins, frames)."""
        clips, noise, masks = self._material
        speech = clips.spectra(rows)
        if noise_rows is not None:
            added = noise.spectra(noise_rows)
            chosen = None
            if mask_rows is not None and not bool(everywhere.all()):
                chosen = masks[mask_rows].to(added.real.dtype) / MASK_LEVELS
                if len(shifts) == 1:
                    frequency, time = shifts[0].tolist()
                    chosen = roll(roll(chosen, "frequency", frequency), "time", time)
                else:
                    chosen = roll(roll(chosen, "frequency", shifts[:, 0]), "time", shifts[:, 1])
                    chosen = torch.where(everywhere[:, None, None], 1.0, chosen)
            speech = mix(speech, added, chosen, batch_gain(speech, added, self.augmentation.snr))
        levels = decibels(speech)
        if kept_frames is not None:
            kept = kept_bins[:, :, None] & kept_frames[:, None]
            # As loud as the clip's mean: zero decibel would be loud.
            levels = torch.where(kept, levels, levels.mean(dim=(1, 2), keepdim=True))
        return levels

    def forward(self, rows: Tensor, **numbers: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            levels = self.features(rows, **numbers)
        return {"loss": nn.functional.cross_entropy(self.recogniser(levels), self._material[0].labels[rows])}


@FINETUNINGS.register("keyword")
@dataclass
class NoiseTraining(FineTuning):
    """Clips as they are, or with noise, or with SpecAugment.

    The model is the folder of a network to train further, or `paper`,
    `bc-resnet-1`, -1.5, -2, -3, -6 or -8 for a new one.  Keeps the epoch with
    the lowest cross-entropy on clean dev clips.

    Args:
        masks: The training set's mask.scp, for masks own and other.
        noise: Name of the packed pieces of noise.
        augmentation: What happens to training clips.
    """

    masks: Path | None = field(default=None, compare=False)
    noise: str = "noise_train"
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def _noisy(self) -> bool:
        return self.augmentation.method == "noise"

    @property
    def _masked(self) -> bool:
        return self._noisy and self.augmentation.masks != "none"

    def inputs(self, sets: Sets) -> list[Path]:
        if self._masked and self.masks is None:
            raise InputError(
                f"--augmentation.masks {self.augmentation.masks} needs --masks, the mask.scp of the training set"
            )
        names = (sets.train, sets.dev)
        packed = [sets.features / name / "step.json" for name in (*names, *([self.noise] if self._noisy else []))]
        texts = [sets.data / name / "text" for name in names]
        return [sets.data / "words", *texts, *packed, *([self.masks] if self._masked else [])]

    def prepare(self, sets: Sets, model: str, batch_size: int, seed: int, device: str) -> Task:
        words = read_words(sets.data / "words")
        start = load_recogniser(Path(model)).train() if Path(model).is_dir() else None
        if start is not None and tuple(start.config.words) != words:
            raise InputError(f"{model} knows other words than {sets.data / 'words'}; train the baseline on this corpus")
        clips, dev = (
            KeywordSet(sets.data / name, sets.features / name, words, device) for name in (sets.train, sets.dev)
        )
        torch.manual_seed(seed)
        sets.recogniser.model = start or build_recogniser(model, words)
        pieces = NoisePieces(sets.features / self.noise, device) if self._noisy else None
        percent = self.augmentation.percent
        masks = read_masks(self.masks, clips.ids, clips.samples, percent).to(device) if self._masked else None
        return Task(
            KeywordTraining(sets.recogniser.model, clips, self.augmentation, pieces, masks).to(device),
            Draws(len(clips), len(pieces) if pieces else 1, self.augmentation, seed),
            [1] * len(clips),
            same,
            dev_scorer(dev),
            "eval_dev_loss",
        )


def read_words(path: Path) -> tuple[str, ...]:
    """Read the words, one a line, in the order of the outputs."""
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        raise stale(path, "does not exist") from None


def dev_scorer(dev: KeywordSet) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function that scores a network on clean dev clips."""

    def score(network: KeywordTraining) -> dict[str, float]:
        logits = torch.cat(
            [
                network.recogniser(decibels(dev.spectra(rows)))
                for rows in torch.arange(len(dev), device=dev.labels.device).split(SCORING_BATCH)
            ]
        )
        return {
            "dev_loss": nn.functional.cross_entropy(logits, dev.labels).item(),
            "dev_error": 100 * (logits.argmax(1) != dev.labels).float().mean().item(),
        }

    return score


@dataclass(frozen=True)
class ImportanceWeights:
    """The weights of equation 5.

    Args:
        recogniser: Lambda_r, of the recogniser's cross-entropy.
        mask: Lambda_e, which rewards noise.
        frequency: Lambda_f, which punishes differences between neighbouring frequencies.
        time: Lambda_t, which punishes differences between neighbouring frames.
    """

    recogniser: float = 1.0
    mask: float = 3.0
    frequency: float = 3.0
    time: float = 3.0


CLAMP = 1e-4
"""The published code keeps M this far from 0 and 1 in the loss."""


def importance_loss(masks: Tensor, recogniser_loss: Tensor, weights: ImportanceWeights) -> Tensor:
    """Equation 5, one number; `masks` is (batch, bins, frames).  Means are over the batch as well."""
    clamped = masks.clamp(CLAMP, 1 - CLAMP)
    return (
        weights.recogniser * recogniser_loss
        - weights.mask * clamped.log().mean()
        + weights.frequency * clamped.diff(dim=1).abs().mean()
        + weights.time * clamped.diff(dim=2).abs().mean()
    )


def legacy_choice(masks: Tensor, recogniser_loss: Tensor, weights: ImportanceWeights) -> Tensor:
    """What the published code chooses the generator by, which is not what it trains: an entropy, signed differences."""
    clamped = masks.clamp(CLAMP, 1 - CLAMP)
    entropy = clamped * clamped.log() + (1 - clamped) * (1 - clamped).log()
    return (
        weights.recogniser * recogniser_loss
        - clamped.mean()
        - weights.mask * entropy.mean()
        + weights.frequency * clamped.diff(dim=1).mean()
        + weights.time * clamped.diff(dim=2).mean()
    )


class GeneratorTraining(nn.Module):
    """A mask generator and a frozen recogniser: numbers of clips and noise in, the loss of equation 5 out."""

    def __init__(
        self,
        mask_generator: MaskGenerator,
        recogniser: nn.Module,
        clips: KeywordSet,
        noise: NoisePieces,
        weights: ImportanceWeights,
        snr: float,
    ) -> None:
        super().__init__()
        self.generator = mask_generator
        # How many dev scores there have been; a training that goes on from a checkpoint knows it from there.
        self.register_buffer("scored", torch.tensor(0))
        self.weights, self.snr = weights, snr
        self._frozen = (recogniser.eval().requires_grad_(False), clips, noise)

    def parts(self, rows: Tensor, noise_rows: Tensor, clips: KeywordSet | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Masks, logits of the words and labels, of clips of the training set or of other `clips`."""
        recogniser, own, noise = self._frozen
        source = clips or own
        speech, added = source.spectra(rows), noise.spectra(noise_rows)
        masks = torch.sigmoid(self.generator(decibels(speech)))
        mixture = mix(speech, added, masks, batch_gain(speech, added, self.snr))
        return masks, recogniser(decibels(mixture)), source.labels[rows]

    def forward(self, rows: Tensor, noise_rows: Tensor) -> dict[str, Tensor]:
        masks, logits, labels = self.parts(rows, noise_rows)
        return {"loss": importance_loss(masks, nn.functional.cross_entropy(logits, labels), self.weights)}


def importance_scorer(
    dev: KeywordSet, pieces: int, batch_size: int, seed: int, legacy: bool = False
) -> Callable[[GeneratorTraining], dict[str, float]]:
    """A function that scores a generator on the dev clips: equation 5, the mean of M, errors in noise through M.

    `legacy`: the loss and the noise that the published code chooses by.
    """

    def score(network: GeneratorTraining) -> dict[str, float]:
        network.scored += 1
        device = dev.labels.device
        # Of equation 5 the noise is always the same, so that epochs can be compared.
        names = ("dev", int(network.scored)) if legacy else ("dev",)
        noise = torch.from_numpy(generator(seed, "noise", *names).integers(pieces, size=len(dev))).to(device)
        total = {"dev_loss": 0.0, "dev_mask": 0.0, "dev_error": 0.0}
        for rows in torch.arange(len(dev), device=device).split(batch_size):
            masks, logits, labels = network.parts(rows, noise[rows], dev)
            entropy = nn.functional.cross_entropy(logits, labels)
            loss = (legacy_choice if legacy else importance_loss)(masks, entropy, network.weights)
            share = len(rows) / len(dev)
            total["dev_loss"] += share * loss.item()
            total["dev_mask"] += 100 * share * masks.mean().item()
            total["dev_error"] += 100 * share * (logits.argmax(1) != labels).float().mean().item()
        return total

    return score
