"""Self-supervised pretraining of wav2vec 2.0 (Baevski et al. 2020, section 3), and the objective used for Catalan.

The standard loss is contrastive over masked frames, against negatives from
masked frames of the same utterance, plus the diversity of the codes
(equations 2 to 4).  What an epoch logs shows whether the model is healthy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from salience.data.waveforms import RATE, Waveforms, pad_signals
from salience.errors import InputError
from salience.masking.spans import SpanMasking
from salience.models.wav2vec import feature_maps, frames_of, real_frames
from salience.randomness import generator


@dataclass(frozen=True)
class Gumbel:
    """Temperature of the choice of codes.

    Args:
        start: At the first update.
        end: Never below.
        decay: Factor of an update.
    """

    start: float = 2.0
    end: float = 0.5
    decay: float = 0.999995

    def temperature(self, updates: float) -> float:
        """After so many updates."""
        return max(self.start * self.decay**updates, self.end)


@dataclass(frozen=True)
class Alarm:
    """When to stop a training that has collapsed.

    Args:
        after: Updates before which no alarm is raised: every model starts at chance.
        perplexity: Minimum number of codes that a codebook uses; 1 is collapse.
        accuracy: Minimum contrastive accuracy, as a multiple of chance; a lower one counts with `cosine` only.
        cosine: Mean cosine of two frames' states above which they are all the same.
    """

    after: int = 1000
    perplexity: float = 1.2
    accuracy: float = 1.5
    cosine: float = 0.99


@dataclass(frozen=True)
class Objective:
    """What a model is trained for.

    Args:
        kind: `standard`; or `legacy`, minus the mean cosine of state and code over all frames, padding included, plus
            `diversity` times the codes' perplexity, which rewards collapse.
        masking: Spans of masked frames.
        negatives: Negatives of a masked frame.
        kappa: Divides the cosines of the contrastive loss.
        diversity: Weight of the second term.
        gumbel: Temperature of the choice of codes.
        alarm: When to stop a collapsed model.
        stop: Heed the alarm.
    """

    kind: Literal["standard", "legacy"] = "standard"
    masking: SpanMasking = field(default_factory=SpanMasking)
    negatives: int = 100
    kappa: float = 0.1
    diversity: float = 0.1
    gumbel: Gumbel = field(default_factory=Gumbel)
    alarm: Alarm = field(default_factory=Alarm)
    stop: bool = True

    @property
    def chance(self) -> float:
        """Contrastive accuracy of a guess."""
        return 1 / (1 + self.negatives)


@dataclass(frozen=True)
class Crops:
    """Lengths of utterances.

    Args:
        max_seconds: Longer utterances are cropped at random in each epoch.
        min_seconds: Shorter utterances are left out.
    """

    max_seconds: float = 15.6
    min_seconds: float = 1.0


@dataclass(frozen=True)
class Example:
    """A signal (samples,), which of its frames are masked, and the negatives (masked, negatives) of these."""

    signal: np.ndarray
    masked: np.ndarray
    negatives: np.ndarray


def sample_negatives(masked: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """For each masked frame, `count` other masked frames of the same utterance, drawn with replacement.

    masked: (frames,), at least two of them.  Returns frame numbers of shape
    (masked frames, count).
    """
    frames = np.flatnonzero(masked)
    drawn = rng.integers(len(frames) - 1, size=(len(frames), count))
    # Stepping over the frame itself keeps the others equally likely.
    return frames[drawn + (drawn >= np.arange(len(frames))[:, None])]


class PretrainingUtterances(Dataset[Example]):
    """The utterances of several sets that are long enough, by (epoch, index).

    Crops, masks and negatives are drawn for (seed, utterance, epoch).
    """

    def __init__(
        self, sets: Sequence[Waveforms], config: Wav2Vec2Config, objective: Objective, crops: Crops, seed: int | str
    ) -> None:
        self.config, self.objective, self.seed = config, objective, seed
        self.max_samples = round(crops.max_seconds * RATE)
        min_samples = round(crops.min_seconds * RATE)
        if crops.min_seconds > crops.max_seconds or frames_of(config, min_samples) < 4:
            raise InputError(
                f"utterances of {crops.min_seconds} to {crops.max_seconds} s cannot be trained on;"
                " --crops.min_seconds is at least 0.1 and at most --crops.max_seconds"
            )
        self.items = [
            (waveforms, key) for waveforms in sets for key in waveforms if waveforms.samples[key] >= min_samples
        ]
        self.dropped = sum(map(len, sets)) - len(self.items)
        if not self.items:
            raise InputError(
                f"no utterance of {', '.join(str(w.data) for w in sets)} lasts {crops.min_seconds} s; lower"
                " --crops.min_seconds"
            )
        self.lengths = [min(waveforms.samples[key], self.max_samples) for waveforms, key in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, where: tuple[int, int]) -> Example:
        epoch, index = where
        waveforms, key = self.items[index]
        rng = generator(self.seed, key, epoch, "pretraining")
        signal = waveforms[key]
        start = int(rng.integers(max(len(signal) - self.max_samples, 0) + 1))
        signal = signal[start : start + self.max_samples]
        masked = self.objective.masking.mask(frames_of(self.config, len(signal)), rng, least=2)
        return Example(signal, masked, sample_negatives(masked, self.objective.negatives, rng))


def collate(examples: Sequence[Example], config: Wav2Vec2Config) -> dict[str, Tensor]:
    """A batch: signals and which samples are real (batch, samples), masked (batch, frames), and negatives.

    negatives: (all masked frames, negatives), as places in the flattened
    (batch * frames), in the order of `masked.nonzero()`.
    """
    signals, real = pad_signals([e.signal for e in examples])
    frames = frames_of(config, signals.shape[1])
    masked = np.zeros((len(examples), frames), dtype=bool)
    for row, example in enumerate(examples):
        masked[row, : len(example.masked)] = example.masked
    negatives = np.concatenate([example.negatives + row * frames for row, example in enumerate(examples)])
    return {
        name: torch.from_numpy(array)
        for name, array in (("signals", signals), ("real", real), ("masked", masked), ("negatives", negatives))
    }


def contrastive(
    states: Tensor, codes: Tensor, positives: Tensor, negatives: Tensor, kappa: float
) -> tuple[Tensor, Tensor]:
    """Equation 3 for each masked frame, and whether the frame's code was found, both (masked,).

    states: (masked, size).  codes: (all frames, size); positives (masked,) and
    negatives (masked, count) are places in it.

    A negative with the positive's own code is left out of the loss.  For the
    accuracy it is a tie, of which a guess finds one: a model with a single
    code is at chance, not at one hundred percent.
    """
    states, unit = nn.functional.normalize(states.float(), dim=-1), nn.functional.normalize(codes.float(), dim=-1)
    positive = torch.einsum("nd,nd->n", states, unit[positives])[:, None] / kappa
    # Not unit[negatives]: of places that come several times, its gradient adds up in another order each time.
    negative = torch.einsum("nd,nkd->nk", states, nn.functional.embedding(negatives, unit)) / kappa
    # Each code's number: far smaller to compare than the codes of all negatives.
    numbers = torch.unique(codes.detach().float(), dim=0, return_inverse=True)[1]
    same = numbers[negatives] == numbers[positives][:, None]
    logits = torch.cat([positive, negative.masked_fill(same, -torch.inf)], dim=1)
    loss = nn.functional.cross_entropy(logits, torch.zeros_like(positives), reduction="none")
    found = (logits[:, :1] >= logits).all(1) / (1 + same.sum(1))
    return loss, found


class Wav2VecPretraining(nn.Module):
    """A model for pretraining as `transformers.Trainer` wants it: a batch in, loss out.

    accumulate: batches of an update.  earlier: updates of earlier phases.  The
    number of batches is part of the state, so that the temperature is the same
    after an interruption.
    """

    def __init__(
        self, model: Wav2Vec2ForPreTraining, objective: Objective, accumulate: int = 1, earlier: int = 0
    ) -> None:
        super().__init__()
        self.model, self.objective, self.accumulate, self.earlier = model, objective, accumulate, earlier
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        # Means over an epoch; not in the state, because checkpoints come after whole epochs.
        self._sums: dict[str, Tensor] = {}

    def activation_checkpointing_enable(self, **_: object) -> None:
        """Keep only the layers' inputs in memory and compute them again for the gradient."""
        self.model.gradient_checkpointing_enable()

    @property
    def updates(self) -> int:
        """Updates made so far, those of earlier phases included."""
        return self.earlier + int(self.batches) // self.accumulate

    def forward(self, signals: Tensor, real: Tensor, masked: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.model.set_gumbel_temperature(self.objective.gumbel.temperature(self.updates))
            self.batches += 1
        measured = self.measures(signals, real, masked, negatives)
        if self.training:
            for name in ("loss", "accuracy", "perplexity", "masked_share"):
                self._sums[name] = self._sums.get(name, 0) + measured[name].detach().float()
            self._sums["batches"] = self._sums.get("batches", 0) + 1
        # Of so many frames the loss is a mean.
        return {"loss": measured["loss"], "count": masked.numel() if self.objective.kind == "legacy" else masked.sum()}

    def take_means(self) -> dict[str, float]:
        """Means over the batches since the last call, as `train_...`."""
        count = self._sums.pop("batches", 1)
        means = {f"train_{name}": float(total / count) for name, total in self._sums.items()}
        self._sums = {}
        return means

    def measures(self, signals: Tensor, real: Tensor, masked: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Loss of the chosen objective and what shows the model's health, of one batch.

        `states` (batch, frames, size) and `codes` (batch, frames, size) are the
        two sides of the contrast, `features` the quantiser's input.
        """
        model, legacy = self.model, self.objective.kind == "legacy"
        # The published code gave no attention mask: padding counted as speech.
        attention = torch.ones_like(real) if legacy else real
        frames = real_frames(model.config, attention)
        encoder = model.wav2vec2
        hidden, features = encoder.feature_projection(feature_maps(encoder, signals).transpose(1, 2))
        hidden = torch.where(masked[..., None], encoder.masked_spec_embed.to(hidden.dtype), hidden)
        states = model.project_hid(encoder.encoder(hidden, attention_mask=frames).last_hidden_state)
        chosen, perplexity = model.quantizer(model.dropout_features(features), None if legacy else masked)
        codes = model.project_q(chosen.to(model.project_q.weight.dtype))
        flat, places = codes.flatten(0, 1), masked.flatten().nonzero()[:, 0]
        losses, found = contrastive(states.flatten(0, 1)[places], flat, places, negatives, self.objective.kappa)
        if legacy:
            loss = legacy_loss(states, codes, perplexity, self.objective.diversity)
        else:
            possible = model.config.num_codevectors_per_group * model.config.num_codevector_groups
            loss = losses.mean() + self.objective.diversity * (possible - perplexity) / possible
        return {
            "loss": loss,
            "contrastive": losses.mean(),
            "accuracy": found.mean(),
            "perplexity": perplexity,
            "masked_share": masked.sum() / real_frames(model.config, real).sum(),
            "states": states,
            "codes": codes,
            "features": features,
        }


def legacy_loss(states: Tensor, codes: Tensor, perplexity: Tensor, weight: float) -> Tensor:
    """The objective that was published: minus the mean cosine over all frames, plus a weighted perplexity.

    Perplexity is a sum over codebooks and at least one in each.  With two of
    them and a weight of 0.1 the minimum of the loss is -1 + 0.1 * 2 = -0.8, where every
    frame has the same code and the same state.
    """
    return weight * perplexity - nn.functional.cosine_similarity(states.float(), codes.float(), dim=-1).mean()


class Health:
    """Measures of a model on a fixed set with fixed masks, and the alarm.

    `dev_contrastive` (nats a frame), `dev_accuracy` beside `dev_chance`,
    `dev_perplexity` (sum over the codebooks of how many codes the whole set
    uses), `dev_frame_cosine` (mean cosine of two frames' states in an
    utterance), `dev_masked_share`, and the training's means as `train_...`.
    """

    def __init__(self, dev: PretrainingUtterances, batch_size: int) -> None:
        self.dev, self.batch_size = dev, batch_size

    def __call__(self, network: Wav2VecPretraining) -> dict[str, float]:
        model, objective = network.model, network.objective
        device = model.project_q.weight.device
        config = model.config
        sums = dict.fromkeys(("contrastive", "accuracy", "cosine", "utterances", "masked", "frames"), 0.0)
        used = torch.zeros(config.num_codevector_groups, config.num_codevectors_per_group)
        order = sorted(range(len(self.dev)), key=self.dev.lengths.__getitem__)
        for start in range(0, len(order), self.batch_size):
            batch = collate([self.dev[("dev", index)] for index in order[start : start + self.batch_size]], config)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            measured = network.measures(**batch)
            masked, count = batch["masked"], int(batch["masked"].sum())
            frames = real_frames(config, batch["real"])
            sums["contrastive"] += float(measured["contrastive"]) * count
            sums["accuracy"] += float(measured["accuracy"]) * count
            sums["masked"] += count
            sums["frames"] += int(frames.sum())
            sums["utterances"] += len(masked)
            sums["cosine"] += float(mean_cosine(measured["states"], frames).sum())
            scores = model.quantizer.weight_proj(measured["features"][masked]).view(count, *used.shape)
            used += nn.functional.one_hot(scores.argmax(-1), used.shape[1]).sum(0).cpu()
        shares = used / sums["masked"]
        scores = {
            "dev_contrastive": sums["contrastive"] / sums["masked"],
            "dev_accuracy": sums["accuracy"] / sums["masked"],
            "dev_chance": objective.chance,
            "dev_perplexity": float(torch.exp(-torch.xlogy(shares, shares).sum(-1)).sum()),
            "dev_frame_cosine": sums["cosine"] / sums["utterances"],
            "dev_masked_share": sums["masked"] / sums["frames"],
            **network.take_means(),
        }
        if objective.stop:
            raise_alarm(scores, objective, network.updates, config.num_codevector_groups)
        return scores


def mean_cosine(states: Tensor, real: Tensor) -> Tensor:
    """Mean cosine of two different frames of each utterance, (batch,), from states (batch, frames, size)."""
    unit = nn.functional.normalize(states.float(), dim=-1) * real[..., None]
    count = real.sum(1)
    return ((unit.sum(1) ** 2).sum(-1) - count) / (count * (count - 1)).clamp(min=1)


def raise_alarm(scores: dict[str, float], objective: Objective, updates: int, codebooks: int) -> None:
    """An InputError if these measures are those of a collapsed model."""
    alarm = objective.alarm
    if updates < alarm.after:
        return
    few = scores["dev_perplexity"] < alarm.perplexity * codebooks
    lost = scores["dev_accuracy"] < alarm.accuracy * objective.chance and scores["dev_frame_cosine"] > alarm.cosine
    if few or lost:
        what = (
            f"its code perplexity is {scores['dev_perplexity']:.2f}, where {codebooks} is the minimum"
            if few
            else (
                f"its contrastive accuracy of {scores['dev_accuracy']:.4f} is chance and two frames have a cosine of"
                f" {scores['dev_frame_cosine']:.3f}"
            )
        )
        raise InputError(
            f"the model has collapsed after {updates} updates: {what}; lower the learning rate, lengthen the warm-up,"
            " or let it run on with --objective.stop false"
        )
