"""Pictures of ImportantAug: maps on utterances, the generator's training, and the paper's sweeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from salience.report.figures import COLOURS, MARKERS, STYLE, save, titled

Curve = Sequence[tuple[float, float]]

FRAMED = {**STYLE, "axes.spines.top": True, "axes.spines.right": True}
DEPTH = 80
"""Decibels below the loudest point that the colours reach."""


@dataclass(frozen=True)
class Example:
    """One utterance with and without noise: levels in dB and importance 1 - M, all (bins, frames) from 0 Hz up."""

    title: str
    clean: np.ndarray
    importance: np.ndarray
    rolled: np.ndarray
    noise: np.ndarray
    mixture: np.ndarray
    moved: str
    snr: float


def importance_panels(
    example: Example, path: Path, frame_shift: float, sampling_rate: int, synthetic: bool = False
) -> None:
    """Draw the paper's Figure 2: (a) clean, (b) importance, (c) rolled, (d) noise, (e) mixture, and what is added.

    `frame_shift` is in seconds.  Spectrograms share one scale of levels.
    """
    added = example.noise + 20 * np.log10(np.maximum(1 - example.rolled, 1e-10))
    top = max(example.clean.max(), example.noise.max())
    level = {"cmap": "magma", "vmin": top - DEPTH, "vmax": top}
    share = {"cmap": "Blues", "vmin": 0, "vmax": 1}
    panels = (
        ("(a) Clean speech", example.clean, level),
        ("(b) Importance 1 - M", example.importance, share),
        (f"(c) Importance rolled, {example.moved}", example.rolled, share),
        (f"(d) Noise at {example.snr:g} dB", example.noise, level),
        ("(e) Mixture", example.mixture, level),
        ("Noise that is added: (d) under (c)", added, level),
    )
    bins, frames = example.clean.shape
    # Frames and bins are centred at their times and frequencies.
    half = sampling_rate / 2 / (bins - 1) / 2
    extent = (-frame_shift / 2, (frames - 0.5) * frame_shift, -half, sampling_rate / 2 + half)
    with plt.rc_context(FRAMED):
        figure, axes = plt.subplots(2, 3, figsize=(12, 6.2), sharex=True, sharey=True, layout="constrained")
        images = {}
        for place, (name, values, scale) in zip(axes.flat, panels, strict=True):
            images[scale["cmap"]] = place.imshow(
                values, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **scale
            )
            place.set_title(name, loc="left", fontsize=10)
            place.set_xlim(0, (frames - 1) * frame_shift)
            place.set_ylim(0, sampling_rate / 2)
            place.yaxis.set_major_formatter("{x:,.0f}")
        for place in axes[:, 0]:
            place.set_ylabel("frequency (Hz)")
        for place in axes[1]:
            place.set_xlabel("time (s)")
        figure.colorbar(images["Blues"], ax=axes[0], label="importance", pad=0.01, aspect=14)
        figure.colorbar(images["magma"], ax=axes[1], label="level (dB)", pad=0.01, aspect=14)
        figure.suptitle(titled(example.title, synthetic), fontsize=12)
        save(figure, path)


def generator_training(
    curves: Mapping[str, Mapping[str, Mapping[str, Curve]]], path: Path, title: str = "", synthetic: bool = False
) -> None:
    """Draw how generators learnt, one panel an axis: {axis label: {name: {"train" or "dev": (epoch, value)}}}.

    A name has one colour; training is dashed.
    """
    names = list(dict.fromkeys(name for of_axis in curves.values() for name in of_axis))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(curves), 1, figsize=(8.5, 2.3 * len(curves) + 0.6), sharex=True, squeeze=False, layout="constrained"
        )
        for axes, (label, of_axis) in zip(panels[:, 0], curves.items(), strict=True):
            for name, lines in of_axis.items():
                for of_set, points in lines.items():
                    axes.plot(
                        *zip(*points, strict=True),
                        color=COLOURS[names.index(name) % len(COLOURS)],
                        linestyle="--" if of_set == "train" else "-",
                        linewidth=1.2,
                        label=name if of_set == "dev" else None,
                    )
            axes.set_ylabel(label)
            axes.grid(color="#dddddd", linewidth=0.7)
        panels[-1, 0].set_xlabel("epoch")
        panels[0, 0].set_title(titled(title, synthetic), loc="left")
        panels[0, 0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)


def swept_rates(
    names: Sequence[str],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    path: Path,
    xlabel: str,
    paper: Mapping[str, Mapping[str, float]] | None = None,
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw error rates over the values of a sweep, {curve: {name: rate of each seed}}: means as a line, seeds as dots.

    `paper` has the paper's figures of the same curves, drawn dashed.  `names`
    is the order along the axis.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
        for index, (curve, rates) in enumerate(curves.items()):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            known = [name for name in names if name in rates]
            places = [names.index(name) for name in known]
            axes.plot(
                places,
                [np.mean(rates[name]) for name in known],
                color=colour,
                marker=marker,
                markersize=6,
                linewidth=1.4,
                label=f"{curve}, mean over seeds",
            )
            dots = [(names.index(name), value) for name in known for value in rates[name]]
            axes.scatter(
                *zip(*dots, strict=True), color=colour, s=16, alpha=0.45, linewidths=0, label=f"{curve}, each seed"
            )
            theirs = {name: (paper or {}).get(curve, {}).get(name) for name in names}
            shown = [(names.index(name), value) for name, value in theirs.items() if value is not None]
            if shown:
                axes.plot(
                    *zip(*shown, strict=True),
                    color=colour,
                    marker=marker,
                    markerfacecolor="white",
                    linestyle="--",
                    linewidth=1,
                    markersize=5,
                    label=f"{curve}, the paper",
                )
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("error (%)")
        axes.set_title(titled(title, synthetic), loc="left")
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)
