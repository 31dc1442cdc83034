#!/usr/bin/env python3
"""Training a recogniser of commands on noisy speech from memory, against a loader that reads and transforms files."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from measure import Row, best_seconds, write_rows
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from salience import program
from salience.data.packed import pack
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.features.keywords import AMPLITUDE_FLOOR, BINS, FRAMES, HOP, RATE, SAMPLES, WINDOW
from salience.models.keywords import build_recogniser
from salience.training.keywords import MASK_LEVELS, Augmentation, Draws, KeywordSet, KeywordTraining, NoisePieces

WORDS = tuple(f"word{n}" for n in range(35))
NOISES = 64
SNR = -12.5
Pair = tuple[Tensor, int]


def bench_commands(
    batch_size: int = 64,
    batches: int = 4,
    repetitions: int = 3,
    workers: int = 0,
    device: str = "cpu",
    out: Path | None = None,
) -> None:
    """Rows for an epoch of clips of up to a second with noise, with the recogniser's training and without.

    Both sides have the same clips, noise and SNR, the paper's recogniser and
    Adam.  The peer mixes each clip by itself, pads with zeros and calls plain
    layers.  Its noise is everywhere; ours is so too, or goes through each
    clip's own mask, moved.  The files are in the machine's cache.

    Args:
        batch_size: Clips a batch.
        batches: Batches of an epoch.
        repetitions: Measurements of each; the best counts.
        workers: Processes of the peer's loader.
        device: Where both recognisers learn, and our batches are made: cpu or cuda.
        out: File to append the rows to; they are printed if there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips, noises = _write_corpus(folder, batch_size * batches)
        commands = KeywordSet(folder / "data", folder / "dump/train", WORDS, device)
        pieces = NoisePieces(folder / "dump/noise", device)
        masks = torch.randint(MASK_LEVELS + 1, (len(clips), BINS, FRAMES), dtype=torch.uint8).to(device)
        draws, trainings = {}, {}
        # Many CPUs have no arithmetic for bfloat16, and on few of them the network's own is nearly all of a step.
        precisions = ("float32",) if device == "cpu" else ("float32", "bfloat16")
        for kind in ("none", "own"):
            # No batch without masks, which would be cheaper.
            augmentation = Augmentation(method="noise", snr=SNR, masks=kind, everywhere=0)
            draws[kind] = Draws(len(clips), len(pieces), augmentation, seed=1)
            for precision in precisions:
                torch.manual_seed(1)
                training = KeywordTraining(build_recogniser("paper", WORDS), commands, augmentation, pieces, masks).to(
                    device
                )
                trainings[kind, precision] = training, torch.optim.Adam(training.parameters(), weight_decay=1e-4)
        torch.manual_seed(1)
        plain = _Plain(build_recogniser("paper", WORDS)).to(device)
        optimizer = torch.optim.Adam(plain.parameters(), weight_decay=1e-4)
        files = _Files([clip.audio for clip in clips], noises)
        loader = DataLoader(files, batch_size, shuffle=True, collate_fn=_collate, num_workers=workers)

        def our_batches(kind: str) -> Iterator[dict[str, Tensor]]:
            for rows in torch.randperm(len(clips)).split(batch_size):
                batch = draws[kind].__getitems__([(0, int(row)) for row in rows])
                yield {name: numbers.to(device) for name, numbers in batch.items()}

        def our_features(kind: str) -> None:
            for batch in our_batches(kind):
                trainings[kind, "float32"][0].features(**batch)
            _wait(device)

        def our_step(kind: str, precision: str) -> None:
            training, adam = trainings[kind, precision]
            for batch in our_batches(kind):
                with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                    loss = training(**batch)["loss"]
                adam.zero_grad()
                loss.backward()
                adam.step()
            _wait(device)

        def their_features() -> None:
            for levels, _ in loader:
                levels.to(device)
            _wait(device)

        def their_step() -> None:
            for levels, labels in loader:
                loss = nn.functional.cross_entropy(plain(levels.to(device)), labels.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            _wait(device)

        measured = {
            "our features": lambda: our_features("none"),
            "through masks": lambda: our_features("own"),
            "their features": their_features,
            "our step": lambda: our_step("none", "float32"),
            "our step through masks": lambda: our_step("own", "float32"),
            "their step": their_step,
        }
        if "bfloat16" in precisions:
            measured |= {
                "our step in bfloat16": lambda: our_step("none", "bfloat16"),
                "our step through masks in bfloat16": lambda: our_step("own", "bfloat16"),
            }
        seconds = best_seconds(measured, repetitions)
        _same_features(files, commands, pieces)
    speed = {key: len(clips) / value for key, value in seconds.items()}
    about = f"commands with noise, batches of {batch_size}" + ("" if device == "cpu" else f" on {device}")
    peer = f"files and DataLoader, {workers} workers" if workers else "files and DataLoader"
    rows = [
        Row(
            f"{about}, {what}",
            f"{speed[ours]:.0f} utt/s",
            f"{peer} {speed[theirs]:.0f} utt/s",
            speed[ours] / speed[theirs],
            aim,
        )
        for what, ours, theirs, aim in (
            ("without the model", "our features", "their features", None),
            ("without the model, ours through masks", "through masks", "their features", None),
            ("training step", "our step", "their step", None if device == "cpu" else 5),
            ("training step, ours through masks", "our step through masks", "their step", None),
            ("training step, ours in bfloat16", "our step in bfloat16", "their step", None),
            ("training step, ours through masks in bfloat16", "our step through masks in bfloat16", "their step", None),
        )
        if ours in seconds
    ]
    write_rows(rows, out)


def _wait(device: str) -> None:
    """Until a GPU has done what it was asked to."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def _write_corpus(folder: Path, number: int) -> tuple[list[Utterance], list[Path]]:
    """16-bit files of 0.6 to 1 s, mostly a second as in the corpus, and noise; packed as stage 2 packs them."""
    rng = np.random.default_rng(1)
    sets: dict[str, list[Utterance]] = {"train": [], "noise": []}
    for kind, count in (("train", number), ("noise", NOISES)):
        for index in range(count):
            samples = int(rng.integers(9_600, SAMPLES)) if kind == "train" and index % 10 == 0 else SAMPLES
            path = folder / kind / f"{index:05}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(samples), RATE, subtype="PCM_16")
            name, seconds = path.stem, samples / RATE
            sets[kind].append(Utterance(id=name, speaker="s", audio=path, text="", recording=name, duration=seconds))
        pack(folder / "dump" / kind, sets[kind], RATE, SAMPLES)
    write_table(folder / "data/text", {clip.id: WORDS[index % len(WORDS)] for index, clip in enumerate(sets["train"])})
    return sets["train"], [piece.audio for piece in sets["noise"]]


class _Files(Dataset[Pair]):
    """What is commonly written: everything for one clip at a time."""

    def __init__(self, clips: Sequence[Path], noises: Sequence[Path]) -> None:
        self.clips, self.noises = clips, noises
        self.window = torch.hann_window(WINDOW)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Pair:
        speech = self.spectrum(self.clips[index])
        noise = self.spectrum(self.noises[int(torch.randint(len(self.noises), ()))])[:, : speech.shape[1]]
        gain = (speech.abs().square().sum() / (noise.abs().square().sum() * 10 ** (SNR / 10))).sqrt()
        return 20 * (speech + gain * noise).abs().clamp(min=AMPLITUDE_FLOOR).log10(), index % len(WORDS)

    def spectrum(self, path: Path) -> Tensor:
        """Complex, (bins, frames)."""
        signal, _ = soundfile.read(path, dtype="float32")
        return torch.stft(torch.from_numpy(signal), WINDOW, HOP, window=self.window, return_complex=True)


def _collate(examples: list[Pair]) -> tuple[Tensor, Tensor]:
    frames = max(levels.shape[1] for levels, _ in examples)
    silence = 20 * float(np.log10(AMPLITUDE_FLOOR))
    padded = [nn.functional.pad(levels, (0, frames - levels.shape[1]), value=silence) for levels, _ in examples]
    return torch.stack(padded), torch.tensor([label for _, label in examples])


class _Plain(nn.Module):
    """The recogniser with each layer called as itself."""

    def __init__(self, recogniser: nn.Module) -> None:
        super().__init__()
        self.convs, self.dense = recogniser.convs, recogniser.dense

    def forward(self, x: Tensor) -> Tensor:
        for block in self.convs:
            x = x + nn.functional.selu(block.pointwise(block.depthwise(x)))
        return self.dense(x.mean(dim=2))


def _same_features(files: _Files, commands: KeywordSet, pieces: NoisePieces) -> None:
    """Both sides transform alike: the spectra of some files."""
    rows = torch.arange(12, device=commands.labels.device)
    for source, paths in ((commands, files.clips), (pieces, files.noises)):
        for own, name, path in zip(source.spectra(rows), source.ids, paths, strict=False):
            theirs = files.spectrum(path)
            assert path.stem == name
            torch.testing.assert_close(own[:, : theirs.shape[1]].cpu(), theirs, rtol=1e-4, atol=1e-3)


if __name__ == "__main__":
    program.main(bench_commands)
