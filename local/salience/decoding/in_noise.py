"""Recognisers that decode speech in noise at chosen points: the noise that their masks were trained with, at its level.

A point has the full noise or none, whatever scale a model's masks are on, so
that regions of equal area have equal noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from more_itertools import chunked

from salience.data.alignment import REFERENCE, character_counts, errors
from salience.data.directories import read_data_dir
from salience.data.packed import open_signals
from salience.data.tables import read_table
from salience.errors import InputError, stale
from salience.features.fbank import RATE
from salience.features.keywords import BINS, FRAMES, HOP, decibels
from salience.masking.bands import Condition, Replacement
from salience.masking.importance import batch_gain, mix
from salience.masking.noise import NoiseSettings, mixture
from salience.masking.noise_masks import NOISE_MASKS
from salience.models.keywords import load_recogniser
from salience.models.mask_estimator import load_sizes
from salience.models.recognisers import RecogniserChoice, frozen
from salience.progress import bar
from salience.randomness import generator
from salience.registry import Registry
from salience.saliency.base import SaliencyMap
from salience.saliency.faithfulness import SHARES, agreement, curves, ends, inserted, with_controls
from salience.saliency.measurement import spread
from salience.training.keywords import KeywordSet, NoisePieces

COLUMNS = ("log_probability", "errors", "length")
"""What `InNoise.decode` says of an utterance: log-probability of its text in nats per character (per word, where texts
are single words), so that long utterances do not outweigh short ones; errors of the hypothesis; what they are counted
against."""


class InNoise:
    """A set's utterances with their recogniser; the fields of a subclass, a dataclass, are options of a program.

    Attributes:
        kind: Kind of the models of masks, in NOISE_MASKS.
        unit: Unit of the log-probabilities.
        dither: Standard deviation of the dither of the signals that they read.
        ids: The utterances.
        texts: Their texts, and those of others.
        speakers: Their speakers.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]
    dither = 0.0

    def files(self) -> list[Path]:
        """The files of recogniser and noise, by which what is measured with them is known."""
        raise NotImplementedError

    def own_frames(self, samples: int) -> int:
        """Frames of a mask that are the utterance's own."""
        raise NotImplementedError

    def decode_batch(self, keys: Sequence[str], noise: Sequence[np.ndarray], speech: bool) -> np.ndarray:
        """COLUMNS of a few utterances, (utterances, 3), with noise at these points of each, (own frames, bins)."""
        raise NotImplementedError

    def open(self, model: Path, data: Path, packed: Path | None, limit: int, device: str) -> None:
        """Load the recogniser, and open a set.

        Args:
            model: Folder of the model of masks.
            data: Data directory.
            packed: Folder of its packed signals, if they are read from there.
            limit: Takes at most this many utterances, from as many speakers as there are.
            device: cpu or cuda.
        """
        self.model, self.device = model, device
        self.signals, self.texts = open_signals(packed or data, RATE), read_table(data / "text")
        self._rows = {key: row for row, key in enumerate(self.signals.ids)}
        chosen = spread((u for u in read_data_dir(data) if u.id in self._rows), limit)
        self.speakers = {utterance.id: utterance.speaker for utterance in sorted(chosen, key=lambda u: u.id)}
        self.ids = list(self.speakers)
        for key in self.ids:
            if key not in self.texts:
                raise stale(data / "text", f"has no line for {key}")

    def signal(self, key: str) -> np.ndarray:
        """The samples of an utterance between -1 and 1."""
        return self.signals.read(self._rows[key])

    def importance(self, model: Path) -> dict[str, SaliencyMap]:
        """1 - M of each utterance, at its own frames, by a model of masks."""
        found, masks = {}, NOISE_MASKS[self.kind](model, self.device, self.dither)
        for keys in chunked(bar(self.ids, f"masks by {model.name}"), masks.batch):
            signals = [self.signal(key) for key in keys]
            for key, signal, mask in zip(keys, signals, masks.masks(keys, signals), strict=True):
                found[key] = SaliencyMap(1 - mask[: self.own_frames(len(signal))], 1, 1, signed=False, method=self.kind)
        return found

    def decode(self, keep: Sequence[np.ndarray], speech: bool = True, batch_size: int = 16) -> np.ndarray:
        """COLUMNS of each of `ids`, (utterances, 3), with noise where its `keep` (own frames, bins) is False.

        Args:
            keep: Points without noise, of each utterance.
            speech: False for the noise only: what is recognised then, the shape of the noise has told.
            batch_size: Utterances decoded at a time.
        """
        order = sorted(range(len(keep)), key=lambda row: len(keep[row]))
        found = np.empty((len(keep), len(COLUMNS)))
        for rows in chunked(order, batch_size):
            found[rows] = self.decode_batch([self.ids[row] for row in rows], [~keep[row] for row in rows], speech)
        return found


IN_NOISE: Registry[type[InNoise]] = Registry("kind of noise masks")
"""By the kind of the models of masks, in NOISE_MASKS."""


@IN_NOISE.register("estimator")
@dataclass
class SpeechInNoise(InNoise):
    """Utterances in the white noise of equation 2, with which mask estimators are trained.

    Args:
        recogniser: The recogniser that is explained.
        noise: Gains of noise and dither, as in training.
    """

    recogniser: RecogniserChoice
    noise: NoiseSettings = field(default_factory=NoiseSettings)

    kind: ClassVar = "estimator"
    unit: ClassVar = "nats per character"

    def files(self) -> list[Path]:
        return self.recogniser.files

    def open(self, model: Path, data: Path, packed: Path | None, limit: int, device: str) -> None:
        super().open(model, data, packed, limit, device)
        self.dither, self.sizes = self.noise.dither, replace(load_sizes(model), depth=0.0)
        self.frozen = frozen(self.recogniser, device)
        for key in self.ids:
            if reason := self.frozen.check(self.texts[key]):
                raise InputError(f"{data}/text: no recogniser can write the text of {key}, for {reason}; remove {key}")

    def own_frames(self, samples: int) -> int:
        return 1 + samples // self.sizes.hop

    def decode_batch(self, keys: Sequence[str], noise: Sequence[np.ndarray], speech: bool) -> np.ndarray:
        condition = Condition("1", None if speech else Replacement("silence"))
        mixed = [
            mixture(key, self.signal(key), condition, self.noise, mask.astype(np.float32), self.sizes)
            for key, mask in zip(keys, noise, strict=True)
        ]
        samples = torch.tensor([len(signal) for signal in mixed])
        signals = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(s) for s in mixed], batch_first=True)
        texts = [self.texts[key] for key in keys]
        found = self.frozen.log_probabilities(signals.to(self.device), samples, texts).cpu().numpy()
        hypotheses = self.frozen.transcribe(signals.to(self.device), samples)
        counts = character_counts(*(map(self.frozen.normalise, each) for each in (texts, hypotheses)))
        return np.stack([found / [len(text) for text in texts], errors(counts), counts[:, REFERENCE]], axis=1)


@IN_NOISE.register("generator")
@dataclass
class KeywordsInNoise(InNoise):
    """Single words in recorded noise, with which mask generators are trained; behind a clip's end there is none.

    Args:
        recogniser: Folder of the recogniser that is explained.
        pieces: Folder of the packed pieces of noise.
        snr: Signal-to-noise ratio in dB of each utterance before the noise is masked (equation 3), as in training.
    """

    recogniser: Path
    pieces: Path
    snr: float = -12.5

    kind: ClassVar = "generator"
    unit: ClassVar = "nats per word"

    def files(self) -> list[Path]:
        return [self.recogniser / "model.safetensors", self.pieces / "step.json"]

    def open(self, model: Path, data: Path, packed: Path | None, limit: int, device: str) -> None:
        super().open(model, data, packed, limit, device)
        self.network = load_recogniser(self.recogniser, device)
        self.clips = KeywordSet(data, packed or data, self.network.config.words, device)
        self.noise = NoisePieces(self.pieces, device)

    def own_frames(self, samples: int) -> int:
        return 1 + samples // HOP

    @torch.no_grad()
    def decode_batch(self, keys: Sequence[str], noise: Sequence[np.ndarray], speech: bool) -> np.ndarray:
        rows = torch.tensor([self._rows[key] for key in keys], device=self.device)
        drawn = [int(generator("in noise", "piece", key).integers(len(self.noise))) for key in keys]
        clean, added = self.clips.spectra(rows), self.noise.spectra(torch.tensor(drawn, device=self.device))
        masks = torch.zeros(len(keys), BINS, FRAMES)
        for row, points in enumerate(noise):
            masks[row, :, : len(points)] = torch.from_numpy(points.T)
        # One gain for each, so that nothing depends on who else is in the batch.
        gain = torch.stack([batch_gain(one, other, self.snr) for one, other in zip(clean, added, strict=True)])
        mixed = mix(clean if speech else 0 * clean, added, masks.to(self.device), gain[:, None, None])
        found, truth = self.network(decibels(mixed)).log_softmax(1), self.clips.labels[rows]
        columns = found.gather(1, truth[:, None])[:, 0], found.argmax(1) != truth, torch.ones_like(truth)
        return torch.stack([column.double().cpu() for column in columns], dim=1).numpy()


def measure(
    heard: InNoise,
    own: Mapping[str, SaliencyMap],
    others: Mapping[str, Mapping[str, SaliencyMap]],
    shares: Sequence[float] = SHARES,
    seed: int = 1,
) -> dict[str, Any]:
    """What maps of importance are worth: curves of what is recognised, and how far they agree with others.

    Deletion puts noise on the most important points first; insertion lifts it
    from these first.

    Args:
        heard: The utterances, and the recogniser that is explained.
        own: Importance by the model that was trained with this recogniser.
        others: Importance by models that were trained with other seeds, by name.
        shares: Shares of the points.
        seed: Random seed of ties and controls.

    Returns:
        `utterances`, `speakers`, `shares`, `score`, `unit`, and, values by utterance, `curves`, `errors`, `lengths` and
        `agreement`.
    """
    shapes = {key: own[key].values.shape for key in heard.ids}
    rankings = with_controls(own, shapes, seed)
    listed = {name: [ranks[key] for key in heard.ids] for name, ranks in rankings.items()}
    found = curves(listed, heard.decode, shares, "curves")
    kinds = {kind: {what: each[kind] for what, each in found.items()} for kind in ("deletion", "insertion")}
    told = {kind: {what: rows[..., 0].round(4).tolist() for what, rows in each.items()} for kind, each in kinds.items()}
    silent = [heard.decode([inserted(ranks, share) for ranks in listed["map"]], False) for share in ends(shares)]
    told["insertion"]["noise_only"] = np.stack(silent, axis=1)[..., 0].round(4).tolist()
    return {
        "utterances": heard.ids,
        "speakers": list(heard.speakers.values()),
        "shares": ends(shares),
        "score": f"the log-probability of the text in {heard.unit}",
        "unit": heard.unit,
        "curves": told,
        "errors": {
            kind: {what: rows[..., 1].astype(int).tolist() for what, rows in each.items()}
            for kind, each in kinds.items()
        },
        "lengths": kinds["deletion"]["map"][:, 0, 2].astype(int).tolist(),
        "agreement": [
            agreement("seed_agreement", name, rankings["map"], maps, shapes, seed) for name, maps in others.items()
        ],
    }
