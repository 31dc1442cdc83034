"""How a mask estimator learns from a frozen recogniser: equations 2 to 4 of the bubble cooperative network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor, nn
from torch.utils.data import Dataset

from salience.data.directories import read_data_dir
from salience.data.signals import read_utterance
from salience.errors import InputError
from salience.features.fbank import INT16, RATE
from salience.masking.bands import bands, in_band
from salience.masking.noise import NoiseLevels, NoiseSettings, dithered, masked_noise, noise_proportion, white_noise
from salience.models.mask_estimator import MaskEstimator, MaskEstimatorSizes, log_power
from salience.models.recognisers import FrozenRecogniser
from salience.progress import bar
from salience.randomness import generator


@dataclass(frozen=True)
class BubbleWeights:
    """The loss weights of equations 3 and 4; the defaults are the paper's best.

    Args:
        asr: Lambda_a, of the recogniser's loss.
        mask: Lambda_m, which rewards noise.
        entropy: Lambda_e, which punishes masks between 0 and 1.
        smoothness: Lambda_f, which punishes differences between neighbouring frequencies.
    """

    asr: float = 0.1
    mask: float = 10.0
    entropy: float = 2.0
    smoothness: float = 0.0


def bubble_loss(
    logits: Tensor, frames: Tensor, asr_loss: Tensor, weights: BubbleWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Equation 3 with the term of equation 4, over the real frames of a batch.

    logits: (batch, frames, bins), the mask being their sigmoid; frames:
    (batch,).  Means are over each utterance's own points, then over
    utterances.  Returns the loss and its unweighted parts.
    """
    real = (torch.arange(logits.shape[1], device=logits.device) < frames[:, None])[..., None]
    mask = torch.sigmoid(logits)
    points = frames * logits.shape[2]

    def mean(values: Tensor) -> Tensor:
        return ((values * real).sum(dim=(1, 2)) / points).mean()

    parts = {
        "asr": asr_loss,
        "mask": mean(mask),
        # Of a mask and its own logit the cross-entropy is the entropy, finite where the mask is 0 or 1.
        "entropy": mean(nn.functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")),
        "smoothness": mean(nn.functional.pad(mask.diff(dim=2).abs(), (0, 1))),
    }
    loss = (
        weights.asr * parts["asr"]
        - weights.mask * parts["mask"]
        + weights.entropy * parts["entropy"]
        + weights.smoothness * parts["smoothness"]
    )
    return loss, parts


def leak(asr_loss: Tensor, texts: Sequence[str]) -> Tensor:
    """How much of its text a recogniser understands where it should not, in nats an utterance, from its mean loss.

    A loss of L nats a character is a probability p = exp(-L) of each, and this
    is -log(1 - p) summed over an utterance's characters: near L = 0.7 it falls as
    fast as L rises, and beyond 3 there is next to nothing to be gained, so that
    it is not worth while to have the recogniser write anything else with certainty.
    """
    characters = sum(map(len, texts)) / len(texts)
    return -characters * torch.log(-torch.expm1(-(asr_loss / characters).clamp(min=1e-3)))


def exchanged(speech: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
    """In each utterance's place the next one of the batch that says something else, repeated or cut to its length.

    Where all say the same, the utterance itself backwards.
    """
    others = torch.zeros_like(speech)
    lengths = samples.tolist()
    for row, own in enumerate(lengths):
        following = (*range(row + 1, len(texts)), *range(row))
        other = next((i for i in following if texts[i] != texts[row]), None)
        if other is None:
            others[row, :own] = speech[row, :own].flip(0)
        else:
            others[row, :own] = speech[other, torch.arange(own, device=speech.device) % lengths[other]]
    return others


@dataclass(frozen=True)
class BandExchange:
    """What is understood with another utterance's speech in a band, which only a mask that writes there can tell.

    Args:
        weight: of the nats by which that is more than with noise in the band; 0: no such term, as in the paper
        bands: the bands in Hz, one of which is drawn for each batch
    """

    weight: float = 0.0
    bands: str = "0-1000 1000-2000 2000-4000 4000-8000"

    def __post_init__(self) -> None:
        if not bands(self.bands):
            raise InputError("the exchange of speech needs a band; correct exchange.bands")


class BubbleNetwork(nn.Module):
    """Estimator and frozen recogniser as `transformers.Trainer` wants them: signals and texts in, loss out."""

    updates: Tensor

    def __init__(
        self,
        estimator: MaskEstimator,
        recogniser: FrozenRecogniser,
        weights: BubbleWeights,
        noise: NoiseSettings,
        leak: float = 0.0,
        exchange: BandExchange = BandExchange(),
        seed: int = 1,
    ) -> None:
        """Put together what is trained.

        Args:
            estimator: the mask estimator
            recogniser: the frozen recogniser
            weights: weights of the loss
            noise: gains of noise and dither
            leak: weight of what is understood through a mask with other speech under it; not in the paper
            exchange: the same by band; not in the paper
            seed: random seed of the bands
        """
        super().__init__()
        self.estimator = estimator
        # In a tuple, so that the frozen recogniser is neither trained nor saved.
        self._recogniser = (recogniser,)
        self.weights = weights
        self.noise = noise
        self.leak = leak
        self.exchange, self.bands, self.seed = exchange, bands(exchange.bands), seed
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @property
    def gain(self) -> float:
        """Alpha of equation 2 as it is now: in training it rises, otherwise it is full."""
        if not self.training or self.updates >= self.noise.rise:
            return self.noise.gain
        return self.noise.dither * (self.noise.gain / self.noise.dither) ** (float(self.updates) / self.noise.rise)

    def added(self, noise: Tensor, speech: Tensor, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What equation 2 adds to the speech, (batch, samples), the mask's logits and each utterance's frames."""
        frames = self.estimator.frames(samples)
        logits = self.estimator(self.estimator.log_power(speech), frames)
        return self._through(torch.sigmoid(logits), noise, samples, frames), logits, frames

    def _through(self, masks: Tensor, noise: Tensor, samples: Tensor, frames: Tensor) -> Tensor:
        """The noise that masks (batch, frames, bins) let through, at its gain."""
        sizes = self.estimator.sizes
        # One by one: frames of the padding would reach into the end of the shorter utterances.
        added = [
            masked_noise(
                noise[row : row + 1, :own], masks[row : row + 1, :count], sizes.window, sizes.hop, sizes.depth
            )[0]
            for row, (own, count) in enumerate(zip(samples.tolist(), frames.tolist(), strict=True))
        ]
        return self.gain * nn.utils.rnn.pad_sequence(added, batch_first=True)

    def with_band(
        self, logits: Tensor, frames: Tensor, speech: Tensor, noise: Tensor, samples: Tensor, texts: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Mixtures with others' speech in a band, and with noise there, (batch, samples) each.

        The band is drawn by seed and update.  The gradient is of the mask in it only: outside, the own speech may be
        understood.
        """
        band = self.bands[generator("exchanged band", self.seed, int(self.updates)).integers(len(self.bands))]
        inside = torch.from_numpy(band.holds(logits.shape[2])).to(logits.device)
        masks = torch.sigmoid(logits)
        others = in_band(exchanged(speech, samples, texts), band)
        outside = speech - in_band(speech, band)
        kept = torch.where(inside, masks, masks.detach())
        heard = outside + others + self._through(kept, noise, samples, frames)
        drowned = outside + self._through(torch.where(inside, 1.0, masks), noise, samples, frames)
        return heard, drowned

    def forward(self, speech: Tensor, noise: Tensor, samples: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """The loss; `speech` is dithered, `noise` has unit variance."""
        added, logits, frames = self.added(noise, speech, samples)
        mixtures = {"own": speech + added}
        if self.leak:
            mixtures["others"] = exchanged(speech, samples, texts) + added
        if self.exchange.weight:
            mixtures["others in a band"], drowned = self.with_band(logits, frames, speech, noise, samples, texts)
            with torch.no_grad():
                limit = self._recogniser[0].losses(drowned, samples, texts).mean()
        losses = self._recogniser[0].losses(
            torch.cat([*mixtures.values()]), samples.repeat(len(mixtures)), [*texts] * len(mixtures)
        )
        mean = dict(zip(mixtures, losses.unflatten(0, (len(mixtures), -1)).mean(dim=1), strict=True))
        loss, _ = bubble_loss(logits, frames, mean["own"], self.weights)
        if self.leak:
            loss = loss + self.leak * leak(mean["others"], texts)
        if self.exchange.weight:
            # By how many nats more is understood with others' speech in the band than with noise there.
            loss = loss + self.exchange.weight * torch.relu(limit - mean["others in a band"])
        if self.training:
            self.updates += 1
        return {"loss": loss}


@dataclass(frozen=True)
class NoisyExample:
    """Dithered speech and unit noise of its length, (samples,) each, and the text."""

    speech: np.ndarray
    noise: np.ndarray
    text: str


class NoisyUtterances(Dataset[NoisyExample]):
    """Utterances with new dither and noise, and levels of this, in every epoch, by (epoch, index).

    `signals` are on the scale of 16-bit samples.
    """

    def __init__(
        self,
        ids: Sequence[str],
        signals: Sequence[np.ndarray],
        texts: Sequence[str],
        dither: float,
        seed: int,
        levels: NoiseLevels = NoiseLevels(),
    ) -> None:
        self.ids, self.signals, self.texts, self.dither, self.seed = ids, signals, texts, dither, seed
        self.levels = levels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, where: tuple[int, int]) -> NoisyExample:
        epoch, index = where
        names = (self.seed, self.ids[index], epoch)
        speech = dithered(self.signals[index], self.dither, *names)
        noise = self.levels.of(white_noise(len(speech), *names), *names)
        return NoisyExample(speech, noise, self.texts[index])


def collate(examples: Sequence[NoisyExample]) -> dict[str, object]:
    """One batch: speech and noise (batch, samples), zeros beyond each end, samples (batch,), texts."""
    longest = max(len(e.speech) for e in examples)
    speech, noise = torch.zeros(len(examples), longest), torch.zeros(len(examples), longest)
    for row, example in enumerate(examples):
        speech[row, : len(example.speech)] = torch.from_numpy(example.speech)
        noise[row, : len(example.noise)] = torch.from_numpy(example.noise)
    samples = torch.tensor([len(e.speech) for e in examples])
    return {"speech": speech, "noise": noise, "samples": samples, "texts": [e.text for e in examples]}


def read_signals(
    folder: Path, recogniser: FrozenRecogniser, dither: float, seed: int, levels: NoiseLevels = NoiseLevels()
) -> NoisyUtterances:
    """Read a set's signals, all into memory (200 MB an hour); a text that cannot be a target is an InputError."""
    utterances = read_data_dir(folder)
    for utterance in utterances:
        if (reason := recogniser.check(utterance.text)) is not None:
            raise InputError(
                f"{folder}/text: the text of {utterance.id} cannot be trained on, for {reason}; remove it with"
                " utils/fix_data_dir.sh or use another recogniser"
            )
    signals = [INT16 * read_utterance(u, RATE) for u in utterances]
    return NoisyUtterances([u.id for u in utterances], signals, [u.text for u in utterances], dither, seed, levels)


def statistics(source: NoisyUtterances, sizes: MaskEstimatorSizes) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each bin's log power over all frames of a set."""
    total, squares, count = (
        torch.zeros(sizes.bins, dtype=torch.float64),
        torch.zeros(sizes.bins, dtype=torch.float64),
        0,
    )
    for index in range(len(source)):
        values = log_power(torch.from_numpy(source[0, index].speech)[None], sizes)[0].double()
        total, squares, count = total + values.sum(0), squares + values.square().sum(0), count + len(values)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-6).sqrt().float()


def dev_scorer(
    source: NoisyUtterances,
    recogniser: FrozenRecogniser,
    cer: Callable[[list[str], list[str]], float],
    batch_size: int,
    allowance: float,
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function that scores a network on the dev set, with the noise of epoch 0 each time.

    `cer` takes references and hypotheses.  `dev_choice`, the higher the better,
    is the noise proportion where its cost in CER is within the allowance, and
    else the negative cost.
    """
    order = np.argsort([len(s) for s in source.signals], kind="stable").tolist()
    batches = list(chunked(order, batch_size))
    references = [recogniser.normalise(source.texts[row]) for row in order]
    clean_cer: list[float] = []

    def score(network: BubbleNetwork) -> dict[str, float]:
        device = network.estimator.mean.device
        hypotheses: dict[str, list[str]] = {"clean": [], "own": [], "other": []}
        shares = []
        for rows in bar(batches, "batches of the dev set"):
            batch = collate([source[0, row] for row in rows])
            speech, noise, samples = (batch[name].to(device) for name in ("speech", "noise", "samples"))
            added, logits, frames = network.added(noise, speech, samples)
            signals = {"own": speech + added, "other": exchanged(speech, samples, batch["texts"]) + added}
            if not clean_cer:
                signals["clean"] = speech
            for name, mixed in signals.items():
                hypotheses[name] += map(recogniser.normalise, recogniser.transcribe(mixed, batch["samples"]))
            masks = torch.sigmoid(logits)
            shares += [noise_proportion(mask[:count]) for mask, count in zip(masks, frames.tolist(), strict=True)]
        rates = {name: cer(references, texts) for name, texts in hypotheses.items() if texts}
        if not clean_cer:
            clean_cer.append(rates["clean"])
        proportion = 100 * float(np.mean(shares))
        excess = rates["own"] - clean_cer[0]
        return {
            "dev_cer": rates["own"],
            "dev_other_cer": rates["other"],
            "dev_clean_cer": clean_cer[0],
            "dev_noise_proportion": proportion,
            "dev_choice": proportion if excess <= allowance else -excess,
        }

    return score
