"""Fine-tuning of wav2vec 2.0 with CTC, with latent frames masked where a system says."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from salience.data.alignment import character_error_rate, word_error_rate
from salience.data.normalisers import normaliser as normaliser_of
from salience.data.symbols import Symbols, least_frames
from salience.data.waveforms import Waveforms, pad_signals
from salience.errors import InputError
from salience.masking.apply import Masker
from salience.models.recognisers import Recogniser
from salience.models.wav2vec import Learning, feature_maps, frames_of, open_ctc, prepare, real_frames
from salience.progress import bar
from salience.training.finetuning import FINETUNINGS, MaskedTraining, Sets, Task

logger = logging.getLogger(__name__)


@FINETUNINGS.register("wav2vec2")
@dataclass
class LatentTraining(MaskedTraining):
    """CTC from a pretrained encoder, with or without masks over its latent frames.

    The model is `random`, a folder of transformers' format, or a name on the
    Hugging Face hub (name@commit for other than its newest files); its
    language head is not used.  Keeps the epoch with the lowest dev CER of the
    best path: while few words are right, the WER changes by chance, and blanks
    alone have less of it (100) than what begins to be words.

    Args:
        tokens: tokens.txt of the vocabulary.
        size: Size of a random start: base or mini.
        task: Folder of the maps between method and set.
        learning: Which weights learn, and how fast.
        normaliser: Normaliser of the text, targets and references alike.
    """

    tokens: Path = field(compare=False, kw_only=True)
    size: str = "base"
    task: str = "accent"
    learning: Learning = field(default_factory=Learning)
    normaliser: str = "raw"

    def settings(self, sets: Sets) -> dict[str, Any]:
        return super().settings(sets) | {"sound": [source.identity() for source in sets.sources]}

    def inputs(self, sets: Sets) -> list[Path]:
        sources = [path for source in sets.sources for path in (*source.inputs, source.data / "text")]
        return [self.tokens, *sources, *self.mask_files(str(Path(self.task, sets.train)))]

    def prepare(self, sets: Sets, model: str, batch_size: int, seed: int, device: str) -> Task:
        symbols = Symbols(self.tokens)
        train, dev = sets.sources
        targets = {key: symbols.encode(text) for key, text in texts_of(train, self.normaliser).items()}
        references = texts_of(dev, self.normaliser)
        unknown = sum(numbers.count(symbols.unknown) for numbers in targets.values()) / sum(map(len, targets.values()))
        logger.info("%d utterances; %.2f %% of their symbols are [UNK]", len(targets), 100 * unknown)
        network = open_ctc(model, symbols, self.size, seed)
        long = sum(
            least_frames(numbers) > frames_of(network.config, train.samples[key]) for key, numbers in targets.items()
        )
        if long:
            logger.info("%d utterances have more symbols than frames, so that nothing is learnt from them", long)
        sets.recogniser.begin(network, symbols, prepare(network, self.learning))
        frames = {key: int(frames_of(network.config, count)) for key, count in train.samples.items()}
        masker = self.masker(str(Path(self.task, sets.train)), seed, frames)
        utterances = TranscribedUtterances(train, targets, network.config, masker)
        return Task(
            Wav2VecCTC(network),
            utterances,
            utterances.lengths,
            partial(collate, config=network.config),
            DevRates(sets.recogniser, dev, references, batch_size),
            "eval_dev_cer",
            self.learning.rate,
        )


def texts_of(waveforms: Waveforms, name: str) -> dict[str, str]:
    """Normalise transcripts, by utterance; an empty one is an InputError."""
    normalise, _ = normaliser_of(name)
    texts = {key: normalise(utterance.text) for key, utterance in waveforms.utterances.items()}
    for key, text in texts.items():
        if not text:
            raise InputError(
                f"{waveforms.data}/text: {key} has no words after the normaliser {name}; remove it with"
                " utils/fix_data_dir.sh"
            )
    return texts


class DevRates:
    """WER and CER in percent of a recogniser on a set."""

    def __init__(
        self, recogniser: Recogniser, source: Waveforms, references: Mapping[str, str], batch_size: int
    ) -> None:
        self.recogniser, self.source, self.references, self.batch_size = recogniser, source, references, batch_size

    def __call__(self, network: nn.Module) -> dict[str, float]:
        found = self.recogniser.transcribe(self.source, self.batch_size, [])
        said = dict(bar(found, "decoding the dev set", len(self.references)))
        references = list(self.references.values())
        hypotheses = [said[key] for key in self.references]
        wer, cer = word_error_rate(references, hypotheses), character_error_rate(references, hypotheses)
        return {"dev_wer": wer, "dev_cer": cer}


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
