#!/usr/bin/env python3
"""Saliency maps, against pytorch-grad-cam, captum, and the bare arithmetic."""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from captum.attr import LayerGradCam
from map_saliency import map_saliency
from material import dump_features, speech_files, write_set
from measure import Row, best_seconds, write_rows
from more_itertools import chunked
from torch import Tensor, nn

from salience import program
from salience.data.tables import read_table, write_table
from salience.features.archives import Archive, ArchiveWriter
from salience.features.logmel import BINS, FRAMES_30S, floor_of, pad_frames
from salience.models.accent_classifier import save_classifier
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig

BATCH = 8


def _import_gradcam() -> type:
    """pytorch-grad-cam's GradCAM, with a stand-in for torchvision.

    The package imports torchvision for drawing on images and for detection
    models; Grad-CAM of a classifier uses nothing of it.
    """
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = {name: ModuleType(name) for name in names}
    for missing in ("Compose", "Normalize", "ToTensor"):
        setattr(modules["torchvision.transforms"], missing, None)
    modules["torchvision.transforms.functional"].resize = None
    sys.modules.update(modules)
    from pytorch_grad_cam import GradCAM

    return GradCAM


class _Logits(nn.Module):
    """The classifier as the peers want it: an image (batch, 1, bins, frames) in, logits out."""

    def __init__(self, model: AccentCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image[:, 0].transpose(1, 2))["logits"]


def bench_maps(utterances: int = 48, long_utterances: int = 8, repetitions: int = 2, out: Path | None = None) -> None:
    """Rows for utterances of natural lengths and for utterances that fill 30 s.

    Ours is the whole step: features read from an archive, Grad-CAM,
    Grad-CAM++ and the random control written to three compressed archives.
    The peers read the same features and write nothing.  captum is told the
    class; ours and pytorch-grad-cam find out themselves.  The bare arithmetic
    is one forward and one gradient with respect to the last convolution's
    maps, with the same model on the same batches, which are in memory.

    Args:
        utterances: Utterances of natural length.
        long_utterances: Utterances of 30 s.
        repetitions: Measurements of each; the best counts.
        out: File to append the rows to; they are printed if there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(1)
        model = AccentCNN(AccentCNNConfig(classes=tuple("abcdef"))).eval()
        model.set_normalisation(torch.full((BINS,), -0.3), torch.full((BINS,), 0.5))
        save_classifier(model, folder / "classifier")
        files, about = speech_files(folder, utterances)
        write_set(folder / "data", "natural", files)
        dump_features(folder / "data", "natural", folder / "features")
        write_set(folder / "data", "long", files[:long_utterances])
        _fill_30s(folder / "features", "natural", "long", sorted(read_table(folder / "data/long/utt2spk")))
        rows = _rows(folder, "natural", model, f"{len(files)} utterances, {about}", repetitions, has_aims=True)
        rows += _rows(
            folder, "long", model, f"{long_utterances} of 30 s, no padding to skip", repetitions, has_aims=False
        )
    write_rows(rows, out)


def _fill_30s(features: Path, source: str, target: str, keys: list[str]) -> None:
    """features/TARGET: these utterances of the source, each repeated until it lasts 30 s."""
    archive = Archive(features / source / "feats.scp")
    with ArchiveWriter(features / target / "feats") as writer:
        for key in keys:
            writer.write(key, np.resize(archive[key], (FRAMES_30S, BINS)))
    write_table(features / target / "utt2num_frames", dict.fromkeys(keys, str(FRAMES_30S)))


def _rows(folder: Path, name: str, model: AccentCNN, about: str, repetitions: int, has_aims: bool) -> list[Row]:
    features = folder / "features"
    archive = Archive(features / name / "feats.scp")
    frames = read_table(features / name / "utt2num_frames")
    batches = list(chunked(sorted(frames, key=lambda key: (int(frames[key]), key)), BATCH))
    logits, layer = _Logits(model), model.convolutions[-1]
    captum_maps = LayerGradCam(logits, layer)
    tries = iter(range(repetitions))

    def images(keys: list[str]) -> Tensor:
        matrices = [archive[key] for key in keys]
        padded = np.stack([pad_frames(matrix, FRAMES_30S, floor_of(matrix)) for matrix in matrices])
        return torch.from_numpy(padded).transpose(1, 2)[:, None]

    def ours() -> None:
        out = folder / f"{name}{next(tries)}"
        methods = "gradcam gradcam++ random"
        map_saliency(folder / "classifier", folder / "data", name, out, methods, features, batch_size=BATCH)

    def gradcam_package(size: int) -> np.ndarray:
        with _import_gradcam()(model=logits, target_layers=[layer]) as explain:
            parts = (part for keys in batches for part in chunked(keys, size))
            return [explain(input_tensor=images(part), targets=None) for part in parts][-1]

    def captum() -> Tensor:
        pairs = zip(batches, known, strict=True)
        return [captum_maps.attribute(images(keys), target=classes) for keys, classes in pairs][-1]

    def bare() -> None:
        for batch in in_memory:
            with torch.no_grad():
                maps = model.feature_maps(batch)
            maps.requires_grad_(True)
            torch.autograd.grad(model.head(maps).amax(dim=1).sum(), maps)

    with torch.no_grad():
        known = [logits(images(keys)).argmax(dim=1) for keys in batches]
    in_memory = []
    for keys in batches:
        matrices = [archive[key] for key in keys]
        length = min(max(map(len, matrices)) + 1, FRAMES_30S)
        in_memory.append(torch.from_numpy(np.stack([pad_frames(m, length, floor_of(m)) for m in matrices])))

    seconds = best_seconds(
        {
            "ours": ours,
            "bare": bare,
            "captum": captum,
            "batch": lambda: gradcam_package(BATCH),
            "loop": lambda: gradcam_package(1),
        },
        repetitions,
    )
    written = Archive(folder / f"{name}0" / "gradcam" / name / "saliency.scp")
    _check(written, batches[-1], captum(), gradcam_package(BATCH))
    title = f"saliency maps, {about}"
    mine = seconds["ours"]
    return [
        *(
            Row(title, f"{mine:.2f} s", f"{peer} {seconds[key]:.2f} s", seconds[key] / mine, aim if has_aims else None)
            for key, peer, aim in (
                ("loop", "pytorch-grad-cam, loop", 3),
                ("batch", "pytorch-grad-cam, batches", 3),
                ("captum", "captum, batches", None),
            )
        ),
        Row(
            title,
            f"{mine:.2f} s",
            f"one forward and layer gradient {seconds['bare']:.2f} s",
            mine / seconds["bare"],
            1.3 if has_aims else None,
            at_most=True,
        ),
    ]


def _check(ours: Archive, keys: list[str], captum: Tensor, package: np.ndarray) -> None:
    """All three draw the same map: within a step of the 8-bit archive, and after the package's own scaling."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    for key, native, drawn in zip(keys, captum[:, 0].detach().numpy(), package, strict=True):
        mine = ours[key].T
        step = (mine.max() - mine.min()) / 255
        assert np.abs(mine - native[:, : mine.shape[1]]).max() <= step, key
        # The package scales to [0, 1] before and after it enlarges.
        enlarged = scale_cam_image(scale_cam_image(native.clip(min=0)[None], drawn.shape[::-1]))[0]
        assert np.abs(enlarged - drawn).max() < 1e-3, key


if __name__ == "__main__":
    program.main(bench_maps)
