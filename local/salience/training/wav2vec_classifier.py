"""wav2vec 2.0 as a classifier of accents or genders: its training set, batches and loss."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Wav2Vec2ForSequenceClassification

from salience.data.waveforms import Waveforms, batches_of_equals, pad_signals, padded_samples
from salience.models.wav2vec import class_scores, context, feature_maps, real_frames
from salience.progress import bar
from salience.randomness import generator


class LabelledUtterances(Dataset[tuple[np.ndarray, int]]):
    """Signals of at most `max_samples`, cropped at random in each epoch, with their class, by (epoch, index)."""

    def __init__(self, waveforms: Waveforms, numbers: Sequence[int], max_samples: int, seed: int) -> None:
        self.waveforms, self.numbers, self.max_samples, self.seed = waveforms, numbers, max_samples, seed
        self.ids = list(waveforms)
        self.lengths = [min(waveforms.samples[key], max_samples) for key in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, int]:
        epoch, index = where
        signal = self.waveforms[self.ids[index]]
        start = int(
            generator(self.seed, self.ids[index], epoch, "part").integers(max(len(signal) - self.max_samples, 0) + 1)
        )
        return signal[start : start + self.max_samples], self.numbers[index]


def collate(items: Sequence[tuple[np.ndarray, int]]) -> dict[str, Tensor]:
    """A batch padded to its longest utterance."""
    signals, real = pad_signals([signal for signal, _ in items])
    return {
        "signals": torch.from_numpy(signals),
        "real": torch.from_numpy(real),
        "labels": torch.tensor([label for _, label in items]),
    }


class Classifier(nn.Module):
    """A classifier as `transformers.Trainer` wants it: a batch in, loss out; no frame is masked."""

    def __init__(self, model: Wav2Vec2ForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def activation_checkpointing_enable(self, **_: object) -> None:
        """Keep only the layers' inputs in memory and compute them again for the gradient."""
        self.model.gradient_checkpointing_enable()

    def forward(self, signals: Tensor, real: Tensor, labels: Tensor) -> dict[str, Tensor]:
        frames = real_frames(self.model.config, real)
        logits = class_scores(
            self.model, context(self.model.wav2vec2, feature_maps(self.model.wav2vec2, signals), frames), frames
        )
        return {"loss": nn.functional.cross_entropy(logits.float(), labels)}


@torch.no_grad()
def predict(model: Wav2Vec2ForSequenceClassification, waveforms: Waveforms, batch_size: int) -> Tensor:
    """Logits (utterances, classes) in the order of the set, independent of the batches."""
    model.eval()
    device = model.classifier.weight.device
    rows = {}
    for keys in bar(list(batches_of_equals(waveforms.samples, batch_size)), "batches to classify"):
        padded, real = pad_signals(
            [waveforms[key] for key in keys], padded_samples(max(waveforms.samples[key] for key in keys))
        )
        logits = model(torch.from_numpy(padded).to(device), attention_mask=torch.from_numpy(real).to(device)).logits
        rows |= dict(zip(keys, logits.float().cpu(), strict=True))
    return torch.stack([rows[key] for key in waveforms])
