#!/usr/bin/env python3
"""Stage 4: Grad-CAM and Grad-CAM++ of wav2vec 2.0's frames, for a classifier or a CTC model."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from more_itertools import chunked
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from salience import program
from salience.data.directories import read_data_dir
from salience.data.normalisers import normaliser as normaliser_of
from salience.data.records import Utterance
from salience.data.symbols import least_frames
from salience.data.tables import write_table
from salience.data.waveforms import Waveforms, batches_of_equals, labels_of_set, pad_signals, padded_samples
from salience.decoding.ctc import log_probabilities
from salience.errors import InputError
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.files import require_space, write_json
from salience.models.wav2vec import FILES, frames_of, labels_of, load_ctc, load_trained, numbers_of
from salience.progress import bar
from salience.saliency.wav2vec import Spoken, aligned_symbols, class_maps, ctc_maps, greedy_symbols, unit
from salience.steps import Step, fingerprint

logger = logging.getLogger(Path(__file__).name)

KINDS = ("gradcam", "gradcam++")
FRAMES_A_SECOND = 50
"""Of wav2vec 2.0."""

Maps = Iterator[tuple[str, tuple[np.ndarray, np.ndarray], str]]
"""Utterance; signed Grad-CAM and Grad-CAM++ maps, (maps, frames) each; names of the maps."""


def map_wav2vec(
    data: Path,
    model: Path,
    sets: str,
    out: Path,
    task: str,
    packed: Path | None = None,
    target: Literal["predicted", "true", "greedy", "reference"] = "predicted",
    per_character: bool = False,
    most_per_accent: int = 0,
    normaliser: str = "raw",
    job: int = 0,
    jobs: int = 0,
    compress: bool = True,
    scaled: bool = True,
    batch_size: int = 8,
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write out/KIND/TASK/SET/saliency.{ark,scp} and saliency.json for gradcam and gradcam++.

    A map is (frames, 1) on the frames of the feature encoder, rectified and
    scaled to [0, 1].  Per character it is (frames, symbols), a column for each
    symbol of the utterance, and the table `symbols` says which they are.  An
    utterance whose text has more symbols than CTC can write in its frames has
    no map for --target reference.  Of an array of jobs, each writes
    saliency.JOB for merge_archives.py.

    Args:
        data: Folder of the data directories.
        model: Folder of an accent or gender classifier, or of a CTC model.
        sets: Names of the sets, separated by spaces.
        out: Folder for the maps.
        task: What the maps explain: accent, gender or ctc.
        packed: Folder of the packed sets; without one the recordings are decoded.
        target: Of a classifier: the predicted class or the true one.  Of a CTC model: the symbols of the best path
            (greedy) or of the text (reference) in their frames.
        per_character: A map for each symbol of a CTC model.
        most_per_accent: Only the first utterances of each accent, so many; 0 maps all.
        normaliser: Of the text, for --target reference.
        job: This job's number; it takes its share of the sets' split.
        jobs: How many jobs share the work; 0 is no array.
        compress: Store one byte a value; float32 otherwise.
        scaled: Each utterance with zero mean and unit variance.
        batch_size: Utterances, or symbols of one, explained at a time.
        device: cpu or cuda.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    of_classes = target in ("predicted", "true")
    if of_classes and per_character:
        raise InputError("--per-character is for CTC models; give --target greedy or reference")
    if check_space:
        spoken = [u for name in sets.split() for u in _first(read_data_dir(data / name), most_per_accent)]
        # A map for each symbol, if for any; there are at most as many as characters.
        sizes = [
            round(u.duration * FRAMES_A_SECOND + 1) * (max(1, len(u.text)) if per_character else 1) for u in spoken
        ]
        places = (out / kind / task / name for kind in KINDS for name in sets.split())
        require_space(out, places, len(KINDS) * archive_bytes(sizes, 1, compress), "the maps")
    suffix = f".{job}" if jobs else ""
    explainer: ClassExplainer | CTCExplainer | None = None
    for name in sets.split():
        place = data / name / f"split{jobs}" / str(job) if jobs else data / name
        waveforms = Waveforms(place, packed / name if packed else None, scaled)
        waveforms.keep(u.id for u in _first(waveforms.utterances.values(), most_per_accent))
        folders = [out / kind / task / name for kind in KINDS]
        step = Step(
            folders[0] / f"saliency{suffix}.step.json",
            {
                "jobs": jobs,
                "target": target,
                "per_character": per_character,
                "most_per_accent": most_per_accent,
                "normaliser": normaliser,
                "compress": compress,
                "scaled": scaled,
                "sound": waveforms.identity(),
            },
            inputs=[
                *waveforms.inputs,
                *(place / table for table in ("text", "utt2accent", "spk2gender")),
                *(model / file for file in FILES),
            ],
            outputs=[folder / f"saliency{suffix}.scp" for folder in folders],
        )
        if step.is_done():
            continue
        if explainer is None:
            explainer = (
                ClassExplainer(model, device, target, task)
                if of_classes
                else CTCExplainer(model, device, target, per_character, normaliser)
            )
        with step, ExitStack() as stack:
            writers = [stack.enter_context(ArchiveWriter(folder / f"saliency{suffix}", compress)) for folder in folders]
            names: dict[str, str] = {}
            for key, pair, symbols in bar(explainer.maps(waveforms, batch_size), f"maps of {name}", len(waveforms)):
                for writer, columns in zip(writers, pair, strict=True):
                    writer.write(key, np.stack([unit(column) for column in columns], axis=1))
                names[key] = symbols
            for kind, folder in zip(KINDS, folders, strict=True):
                if per_character:
                    write_table(folder / f"symbols{suffix}", names)
                if job <= 1:
                    write_json(
                        folder / "saliency.json",
                        {
                            "method": kind,
                            "layer": f"feature_extractor.conv_layers.{len(explainer.model.config.conv_dim) - 1}",
                            "target": target,
                            "per_character": per_character,
                            "signed": False,
                            "range": [0, 1],
                            "samples_per_frame": int(np.prod(explainer.model.config.conv_stride)),
                            "checkpoint": fingerprint(model / "model.safetensors"),
                        },
                    )
        logger.info("wrote maps of each kind for %d utterances to %s/*/%s/%s", len(names), out, task, name)


def _first(utterances: Iterable[Utterance], most: int) -> Iterator[Utterance]:
    """At most so many of each accent, in their order; all with 0."""
    seen: Counter[str | None] = Counter()
    for utterance in utterances:
        seen[utterance.accent] += 1
        if not most or seen[utterance.accent] <= most:
            yield utterance


class ClassExplainer:
    """Maps for the class of a classifier."""

    def __init__(self, folder: Path, device: str, target: str, task: str) -> None:
        self.model = load_trained(folder, Wav2Vec2ForSequenceClassification, device)
        self.device, self.true, self.task = device, target == "true", task

    def maps(self, waveforms: Waveforms, batch_size: int) -> Maps:
        """Those of a set, one an utterance."""
        known = labels_of(self.model)
        labels: dict[str, int] = {}
        if self.true:
            found = labels_of_set(waveforms, self.task)
            labels = dict(zip(found, numbers_of(list(found.values()), known, list(found), waveforms.data), strict=True))
        for keys in batches_of_equals(waveforms.samples, batch_size):
            signals, real, frames = _batch(waveforms, keys, self.model.config, self.device)
            classes = torch.tensor([labels[key] for key in keys], device=self.device) if labels else None
            *pair, logits = class_maps(self.model, signals, real, classes)
            for row, key in enumerate(keys):
                yield (
                    key,
                    tuple(rows[row, None, : frames[row]].cpu().numpy() for rows in pair),
                    known[int(logits[row].argmax())],
                )


class CTCExplainer:
    """Maps for what a CTC model writes, all of it together or symbol by symbol."""

    def __init__(self, folder: Path, device: str, target: str, per_character: bool, normaliser: str) -> None:
        self.model, self.symbols = load_ctc(folder, device)
        self.device, self.reference, self.per_character = device, target == "reference", per_character
        self.normalise, _ = normaliser_of(normaliser)

    def maps(self, waveforms: Waveforms, batch_size: int) -> Maps:
        """Those of a set, one an utterance or one a symbol."""
        spoken = {
            key: self._spoken(waveforms, key, scores)
            for key, scores in log_probabilities(self.model, waveforms, batch_size)
        }
        waveforms.keep(key for key, said in spoken.items() if said is not None)
        if len(waveforms) < len(spoken):
            logger.info(
                "%d utterances of %s have more symbols than frames and no map",
                len(spoken) - len(waveforms),
                waveforms.data,
            )
        for keys in batches_of_equals(waveforms.samples, 1 if self.per_character else batch_size):
            signals, real, frames = _batch(waveforms, keys, self.model.config, self.device)
            if not self.per_character:
                pair = ctc_maps(self.model, signals, real, [spoken[key] for key in keys])
                for row, key in enumerate(keys):
                    yield key, tuple(rows[row, None, : frames[row]].cpu().numpy() for rows in pair), ""
                continue
            said = spoken[keys[0]]
            # Where nothing is written, one map of zeros.
            wanted = [[one] for one in said] or [[]]
            pairs = [
                ctc_maps(self.model, signals.expand(len(part), -1), real.expand(len(part), -1), part)
                for part in chunked(wanted, batch_size)
            ]
            yield (
                keys[0],
                tuple(torch.cat(rows)[:, : frames[0]].cpu().numpy() for rows in zip(*pairs, strict=True)),
                self._names(said),
            )

    def _names(self, said: list[Spoken]) -> str:
        return " ".join(self.symbols.symbols[one.symbol] for one in said) or self.symbols.symbols[self.symbols.blank]

    def _spoken(self, waveforms: Waveforms, key: str, scores: np.ndarray) -> list[Spoken] | None:
        """What is written in which frames; None if the text does not fit in them."""
        if not self.reference:
            return greedy_symbols(scores, self.symbols.blank)
        symbols = self.symbols.encode(self.normalise(waveforms.utterances[key].text))
        if least_frames(symbols) > len(scores):
            return None
        return aligned_symbols(scores, symbols, self.symbols.blank, f"{waveforms.data}: {key}")


def _batch(
    waveforms: Waveforms, keys: list[str], config: Wav2Vec2Config, device: str
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Signals and which samples are real, (batch, samples), and each utterance's frames."""
    signals = [waveforms[key] for key in keys]
    padded, real = pad_signals(signals, padded_samples(max(waveforms.samples[key] for key in keys)))
    return (
        torch.from_numpy(padded).to(device),
        torch.from_numpy(real).to(device),
        [int(frames_of(config, len(signal))) for signal in signals],
    )


if __name__ == "__main__":
    program.main(map_wav2vec)
