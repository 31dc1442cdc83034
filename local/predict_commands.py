#!/usr/bin/env python3
"""Stage 7: what recognisers of commands hear, in clean sets and in noisy ones at every signal-to-noise ratio."""

import logging
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from salience import program
from salience.data.packed import Packed, read_packed
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.commands import SAMPLES, decibels, spectra
from salience.masking.importance import at_snr
from salience.models.commands import load_recogniser
from salience.steps import Step
from salience.training.commands import as_float

logger = logging.getLogger(Path(__file__).name)

BATCH = 256


def predict_commands(
    model: Path,
    data: Path,
    packed: Path,
    out: Path | None = None,
    out_noisy: Path | None = None,
    sets: str = "dev test",
    noisy: str = "",
    snrs: str = "",
    device: str = "cpu",
) -> None:
    """Write OUT/SET/text, and OUT_NOISY/SNR/SET/text of the noisy sets.

    A noisy set is a data directory with a table `noise`: utterance, id of the
    noise in `noise_test` or `noise_other`, its first sample there.  It is
    mixed here, each utterance at the wanted ratio.  Or, ready-made, it is a
    folder of data directories named after the ratios, packed likewise.

    Args:
        model: Folder of the recogniser.
        data: Folder of the data directories.
        packed: Folder of the packed sets.
        out: Folder for the words of clean sets.
        out_noisy: Folder for the words of noisy sets.
        sets: Clean sets, separated by spaces.
        noisy: Noisy sets, separated by spaces.
        snrs: Ratios in dB, separated by spaces.
        device: cpu or cuda.
    """
    if (sets and out is None) or (noisy and out_noisy is None):
        raise InputError("clean sets need --out, and noisy ones --out-noisy")
    try:
        wrong = not all(isfinite(float(snr)) for snr in snrs.split())
    except ValueError:
        wrong = True
    if wrong:
        raise InputError(f"--snrs is {snrs!r}; give numbers of dB")
    recogniser = None
    for name, snr, target in [(n, None, out) for n in sets.split()] + [
        (n, s, out_noisy) for n in noisy.split() for s in snrs.split()
    ]:
        table = data / name / "noise"
        mixed = snr is not None and table.exists()
        clean = packed / ("test" if mixed else name if snr is None else f"{name}/{snr}")
        folder = target / (name if snr is None else f"{snr}/{name}")
        noises = (
            [packed / n / "step.json" for n in ("noise_test", "noise_other") if (packed / n).is_dir()] if mixed else []
        )
        step = Step(
            folder / "step.json",
            {"snr": snr},
            inputs=[model / "model.safetensors", clean / "step.json", *([table] if mixed else []), *noises],
            outputs=[folder / "text"],
        )
        if step.is_done():
            continue
        recogniser = recogniser or load_recogniser(model, device)
        source = read_packed(clean)
        added = Noise(table, packed, source) if mixed else None
        with step:
            words = predict(recogniser, source, device, added, float(snr or 0))
            write_table(folder / "text", dict(sorted(words.items(), key=lambda item: item[0].encode())))
    logger.info("%s has heard %s", model, " ".join([*sets.split(), *noisy.split()]))


class Noise:
    """The noise that belongs to each utterance of a set, cut to its length."""

    def __init__(self, table: Path, packed: Path, source: Packed) -> None:
        pools = [
            read_packed(packed / name)
            for name in ("noise_test", "noise_other")
            if (packed / name / "utterances").exists()
        ]
        place = {key: (pool, row) for pool in pools for row, key in enumerate(pool.ids)}
        lines = read_table(table)
        self.source = source
        self.parts: list[tuple[np.ndarray, int]] = []
        for key, samples in zip(source.ids, source.samples.tolist(), strict=True):
            fields = lines.get(key, "").split()
            noise, first = fields if len(fields) == 2 else ("", "")
            if noise not in place or not first.isdecimal():
                raise InputError(f"{table} names no noise for {key} that stage 2 has packed; run stages 1 and 2 again")
            pool, row = place[noise]
            if int(first) + samples > pool.samples[row]:
                raise InputError(
                    f"{table}: the noise of {key}, {noise}, ends before the utterance does; run stage 1 again"
                )
            self.parts.append((pool.signals, int(pool.starts[row]) + int(first)))

    def cut(self, rows: Tensor) -> Tensor:
        """Noise for these utterances, (batch, 16000), zeros behind each one's end."""
        found = np.zeros((len(rows), SAMPLES), np.float32)
        for line, row in enumerate(rows.tolist()):
            signals, first = self.parts[row]
            samples = int(self.source.samples[row])
            found[line, :samples] = as_float(torch.from_numpy(np.array(signals[first : first + samples]))).numpy()
        return torch.from_numpy(found)


@torch.no_grad()
def predict(
    recogniser: nn.Module, source: Packed, device: str, noise: Noise | None = None, snr: float = 0.0
) -> dict[str, str]:
    """The word heard in each utterance."""
    heard = {}
    for rows in _batches(len(source)):
        waveforms = as_float(torch.from_numpy(np.array(source.rows(SAMPLES)[rows]))).to(device)
        if noise is not None:
            waveforms = at_snr(waveforms, noise.cut(rows).to(device), snr)
        samples = torch.from_numpy(source.samples[rows]).to(device)
        chosen = recogniser(decibels(spectra(waveforms, samples))).argmax(1).tolist()
        heard |= {
            source.ids[row]: recogniser.config.words[word] for row, word in zip(rows.tolist(), chosen, strict=True)
        }
    return heard


def _batches(utterances: int) -> Iterator[Tensor]:
    yield from torch.arange(utterances).split(BATCH)


if __name__ == "__main__":
    program.main(predict_commands)
