"""Keyword networks as a recogniser: the most probable word of each clip, in clean sets and in noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from salience.data.packed import INT16, Packed, read_packed
from salience.data.tables import read_table
from salience.errors import InputError, stale
from salience.features.keywords import SAMPLES, as_float, decibels, spectra
from salience.masking.importance import at_snr
from salience.models.keywords import load_recogniser, save_recogniser
from salience.models.recognisers import RECOGNISERS, FrozenRecogniser, Recogniser, RecogniserChoice


@RECOGNISERS.register("keyword")
@dataclass
class KeywordRecogniser(Recogniser):
    """Keyword networks: single words in clips of at most a second.

    A set is decoded as it is, or as SET/SNR with noise at that ratio in dB.
    """

    features: ClassVar = "waveform"
    saved: ClassVar = ("model.safetensors", "config.json")
    batch_size: ClassVar = 256

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        self.model, self.device = load_recogniser(Path(model), device), device

    def files(self, model: str) -> list[Path]:
        return [Path(model) / "model.safetensors"] if Path(model).is_dir() else []

    def source(self, data: Path, features: Path | None, name: str) -> "Clips":
        if features is None:
            raise InputError("--features is missing; give the folder of the packed signals")
        return Clips(data, features, name)

    @torch.no_grad()
    def transcribe(self, source: "Clips", batch_size: int, truncated: list[str]) -> Iterator[tuple[str, str]]:
        self.model.eval()
        for rows in torch.arange(len(source)).split(batch_size):
            waveforms, samples = (values.to(self.device) for values in source.batch(rows))
            words = self.model(decibels(spectra(waveforms, samples))).argmax(1).tolist()
            yield from zip((source.ids[row] for row in rows.tolist()), map(self.model.config.words.__getitem__, words))

    def save(self, folder: Path) -> None:
        save_recogniser(self.model.cpu(), folder)

    @classmethod
    def frozen(cls, choice: RecogniserChoice, device: str) -> "FrozenKeywords":
        return FrozenKeywords(choice.model, device)


class FrozenKeywords(FrozenRecogniser):
    """A keyword network on signals of any length."""

    def __init__(self, model: str, device: str) -> None:
        self.model = load_recogniser(Path(model), device)
        self.words = self.model.config.words

    def losses(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of each word."""
        truth = torch.tensor([self.words.index(text) for text in texts], device=signals.device)
        return nn.functional.cross_entropy(self._logits(signals, samples), truth, reduction="none")

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """The most probable word of each."""
        return [self.words[i] for i in self._logits(signals, samples).argmax(dim=1).tolist()]

    def check(self, text: str) -> str | None:
        """Only the words that it was trained on."""
        return None if text in self.words else f"it is none of the recogniser's words ({', '.join(self.words)})"

    def _logits(self, signals: Tensor, samples: Tensor) -> Tensor:
        # One by one: the network's mean over time would count the padding.
        each = (signal[None, :own] / INT16 for signal, own in zip(signals, samples.tolist(), strict=True))
        return torch.cat([self.model(self.model.decibels(signal)) for signal in each])


class Clips:
    """The clips of a set, or of a set with noise, SET/SNR.

    A noisy set is a data directory with a table `noise`: utterance, id of the
    noise in `noise_test` or `noise_other`, its first sample there; the clips
    of `test` are mixed with it here.  Or it is a folder of ready-made sets,
    packed likewise, that are named after the ratios.
    """

    def __init__(self, data: Path, packed: Path, name: str) -> None:
        family, _, snr = name.partition("/")
        table = data / family / "noise"
        self.snr = _ratio(name, snr) if snr and table.exists() else None
        clean = packed / (name if self.snr is None else "test")
        pools = [packed / pool for pool in ("noise_test", "noise_other") if self.snr is not None]
        pools = [pool for pool in pools if pool.is_dir()]
        self.inputs = [clean / "step.json", *([table] if pools else []), *(pool / "step.json" for pool in pools)]
        self.settings = {"snr": self.snr}
        self._open = lambda: (read_packed(clean), pools, table)
        self._packed: Packed | None = None

    @property
    def packed(self) -> Packed:
        """The clean clips, read at the first use, with the noise of each."""
        if self._packed is None:
            self._packed, pools, table = self._open()
            self._noise = _noise(table, pools, self._packed) if self.snr is not None else []
        return self._packed

    @property
    def ids(self) -> list[str]:
        return self.packed.ids

    def __len__(self) -> int:
        return len(self.packed)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (batch, 16000) with their noise, zeros behind each one's end, and their numbers of samples."""
        waveforms = as_float(torch.from_numpy(np.array(self.packed.rows(SAMPLES)[rows])))
        samples = self.packed.samples[rows]
        if self.snr is not None:
            added = np.zeros((len(rows), SAMPLES), np.float32)
            for line, (row, count) in enumerate(zip(rows.tolist(), samples.tolist(), strict=True)):
                signals, first = self._noise[row]
                added[line, :count] = as_float(torch.from_numpy(np.array(signals[first : first + count]))).numpy()
            waveforms = at_snr(waveforms, torch.from_numpy(added), self.snr)
        return waveforms, torch.from_numpy(samples)


def _ratio(name: str, snr: str) -> float:
    try:
        ratio = float(snr)
    except ValueError:
        ratio = float("nan")
    if not isfinite(ratio):
        raise InputError(f"the set {name} names no ratio in dB, {snr!r}; give SET/SNR with a number")
    return ratio


def _noise(table: Path, pools: list[Path], clips: Packed) -> list[tuple[np.ndarray, int]]:
    """Array and first sample of the noise that belongs to each clip."""
    packed = [read_packed(pool) for pool in pools if (pool / "utterances").exists()]
    place = {key: (pool, row) for pool in packed for row, key in enumerate(pool.ids)}
    lines: Mapping[str, str] = read_table(table)
    parts = []
    for key, samples in zip(clips.ids, clips.samples.tolist(), strict=True):
        fields = lines.get(key, "").split()
        noise, first = fields if len(fields) == 2 else ("", "")
        if noise not in place or not first.isdecimal():
            raise stale(table, f"names no packed noise for {key}")
        pool, row = place[noise]
        if int(first) + samples > pool.samples[row]:
            raise stale(table, f"has noise for {key}, {noise}, that ends before the utterance does")
        parts.append((pool.signals, int(pool.starts[row]) + int(first)))
    return parts
