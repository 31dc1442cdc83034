"""Fine-tuning of wav2vec 2.0 with CTC, with latent frames masked where a system says."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from salience.data.waveforms import Waveforms, pad_signals
from salience.masking.apply import Masker
from salience.models.wav2vec import feature_maps, frames_of, real_frames


class TranscribedUtterances(Dataset[tuple[np.ndarray, np.ndarray, list[int]]]):
    """Signal (samples,), masked frames (frames,) and symbols of each utterance, by (epoch, index)."""

    def __init__(
        self, waveforms: Waveforms, targets: Mapping[str, list[int]], config: Wav2Vec2Config, masker: Masker
    ) -> None:
        self.waveforms, self.targets, self.config, self.masker = waveforms, targets, config, masker
        self.ids = list(targets)
        self.lengths = [waveforms.samples[key] for key in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, list[int]]:
        epoch, index = where
        key = self.ids[index]
        signal = self.waveforms[key]
        keep = self.masker.keep(key, frames_of(self.config, len(signal)), 1, epoch)
        return signal, ~keep[:, 0], self.targets[key]


def collate(items: Sequence[tuple[np.ndarray, np.ndarray, list[int]]], config: Wav2Vec2Config) -> dict[str, Tensor]:
    """A batch: signals and real samples (batch, samples), masked (batch, frames), all targets and their lengths."""
    signals, real = pad_signals([signal for signal, _, _ in items])
    masked = np.zeros((len(items), frames_of(config, signals.shape[1])), dtype=bool)
    for row, (_, mask, _) in enumerate(items):
        masked[row, : len(mask)] = mask
    return {
        "signals": torch.from_numpy(signals),
        "real": torch.from_numpy(real),
        "masked": torch.from_numpy(masked),
        "targets": torch.tensor([symbol for _, _, symbols in items for symbol in symbols]),
        "counts": torch.tensor([len(symbols) for _, _, symbols in items]),
    }


class Wav2VecCTC(nn.Module):
    """A recogniser as `transformers.Trainer` wants it: a batch in, loss out."""

    def __init__(self, model: Wav2Vec2ForCTC) -> None:
        super().__init__()
        self.model = model

    def activation_checkpointing_enable(self, **_: object) -> None:
        """Keep only the layers' inputs in memory and compute them again for the gradient."""
        self.model.gradient_checkpointing_enable()

    def forward(
        self, signals: Tensor, real: Tensor, masked: Tensor, targets: Tensor, counts: Tensor
    ) -> dict[str, Tensor]:
        """CTC per symbol, averaged over utterances; one with more symbols than frames counts nothing."""
        model, encoder = self.model, self.model.wav2vec2
        frames = real_frames(model.config, real)
        hidden, _ = encoder.feature_projection(feature_maps(encoder, signals).transpose(1, 2))
        hidden = torch.where(masked[..., None], encoder.masked_spec_embed.to(hidden.dtype), hidden)
        states = encoder.encoder(hidden, attention_mask=frames).last_hidden_state
        scores = model.lm_head(model.dropout(states)).float().log_softmax(-1)
        loss = nn.functional.ctc_loss(
            scores.transpose(0, 1), targets, frames.sum(1), counts, blank=model.config.pad_token_id, zero_infinity=True
        )
        return {"loss": loss}
