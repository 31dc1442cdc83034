"""Keyword networks as the saliency methods see them: their features are magnitudes in decibel, (frames, STFT bins)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor

from salience.data.directories import read_data_dir
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.errors import InputError
from salience.features import keywords
from salience.models.keywords import Recogniser, load_recogniser
from salience.saliency.explained import EXPLAINED, Batch, Explained, ExplainedSet, Target, first_of_each
from salience.steps import fingerprint

QUIET = -68.0
"""What hides a point, in dB: about the level of a window of 16-bit samples that are all rounding."""


class ExplainedKeywords(Explained):
    """A keyword network; what is explained is the logit of a word.

    Its last convolutions have time but no STFT bins: those of the paper's
    network are over time, with bins as channels; BC-ResNet's have mel bands,
    which count as channels here.  So Grad-CAM's maps have one row.
    """

    frames_per_column, bins_per_row = 1, keywords.BINS
    frame_shift = keywords.HOP / keywords.RATE
    window = (16, 16)

    def __init__(self, model: Recogniser, target: Target = Target()) -> None:
        super().__init__(target)
        self.model = model
        self.device = next(model.parameters()).device
        self.layer = model.layer
        self.baseline = torch.full((1,), QUIET, device=self.device)
        self.files = []

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.feature_maps(features.transpose(1, 2)).flatten(1, 2).unsqueeze(2)

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.logits(activations[:, :, 0].unflatten(1, (self.model.channels, -1)))

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]

    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> "KeywordClips":
        if features is None:
            raise InputError("a keyword network needs --features, the folder of the packed signals")
        return KeywordClips(self, data, features, max_per_accent)

    def about(self) -> dict[str, Any]:
        return {"words": list(self.model.config.words), "checkpoint": fingerprint(self.files[0])}


class KeywordClips(ExplainedSet):
    """The packed clips of a set, each padded to a second with exact silence."""

    def __init__(self, explained: ExplainedKeywords, data: Path, packed: Path, max_per_accent: int) -> None:
        self.explained, self.data, self.source = explained, data, read_packed(packed)
        self.rows = {key: row for row, key in enumerate(self.source.ids)}
        self.utterances: dict[str, Utterance] = {u.id: u for u in first_of_each(read_data_dir(data), max_per_accent)}
        self.frames = {key: 1 + int(self.source.samples[self._row(key)]) // keywords.HOP for key in self.utterances}
        self.inputs = [data, packed / "step.json"]

    def _row(self, key: str) -> int:
        if key not in self.rows:
            raise InputError(f"{self.data} has {key}, which the packed signals have not; run stage 2 again")
        return self.rows[key]

    def keep(self, keys: Iterable[str]) -> None:
        self.frames = {key: self.frames[key] for key in keys}

    def features(self, keys: Sequence[str]) -> Tensor:
        """Magnitudes in decibel (batch, frames, bins)."""
        rows = [self._row(key) for key in keys]
        waveforms = torch.from_numpy(np.array(self.source.rows(keywords.SAMPLES)[rows]))
        spectra = keywords.spectra(keywords.as_float(waveforms), torch.from_numpy(self.source.samples[rows]))
        return keywords.decibels(spectra).transpose(1, 2).to(self.explained.device)

    def levels(self, key: str) -> np.ndarray:
        decibels = self.features([key])[0, : self.frames[key]].cpu().numpy()
        return 10 * np.log10((10 ** (decibels / 10)).mean(axis=1))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        explained = self.explained
        for keys in chunked(sorted(self.frames, key=lambda key: (self.frames[key], key)), batch_size):
            features, lengths = self.features(keys), [self.frames[key] for key in keys]
            if explained.target.kind == "true":
                targets = torch.tensor([self._number(key) for key in keys], device=explained.device)
            else:
                targets = explained.forward(features, lengths)[1].argmax(1)
            yield Batch(keys, features, lengths, targets)

    def _number(self, key: str) -> int:
        words, word = self.explained.model.config.words, self.utterances[key].text
        if word not in words:
            raise InputError(
                f"{self.data}: {key} is the word {word!r}, which the network does not know ({', '.join(words)}); use"
                " --target predicted"
            )
        return words.index(word)


@EXPLAINED.register("KeywordNetwork")
def explained_keywords(folder: Path, target: Target, device: str) -> ExplainedKeywords:
    """The keyword network in a folder."""
    target.check_classes(folder)
    explained = ExplainedKeywords(load_recogniser(folder, device), target)
    explained.files = [folder / "model.safetensors", folder / "config.json"]
    return explained
