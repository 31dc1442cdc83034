"""Pictures of wav2vec 2.0: how it learns, and Grad-CAM over the waveform, over the spectrogram and by character."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, to_rgb

from salience.report.figures import COLOURS, STYLE, save, titled

Curve = Sequence[tuple[float, float]]

FRAMED = {**STYLE, "axes.spines.top": True, "axes.spines.right": True}
WAVE, HEAT = COLOURS[0], COLOURS[5]
WASH = ListedColormap([(*to_rgb(HEAT), 0.75 * share) for share in np.linspace(0, 1, 256)])
"""The more salient, the less transparent."""
DEPTH = 80
"""Decibels below the loudest point that the colours reach."""
CHARACTERS = 60
"""Rows of a picture by character whose height still grows."""


@dataclass(frozen=True)
class Panel:
    """One panel of curves: {name: points}, dashed ones, and a level across that has a name."""

    label: str
    curves: Mapping[str, Curve]
    dashed: Mapping[str, Curve] = field(default_factory=dict)
    level: tuple[str, float] | None = None


def learning_panels(
    panels: Sequence[Panel],
    path: Path,
    xlabel: str,
    marks: Sequence[float] = (),
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw panels of curves one below the other.

    Names that share a part before `/` share a colour: `own/1` and `own/2` are
    two lines of one colour.  Dashed curves have the colour of the name that
    they share.  `marks` are places on the x axis, such as the beginning of a
    phase.
    """
    names = list(dict.fromkeys(name.split("/")[0] for panel in panels for name in (*panel.curves, *panel.dashed)))
    with plt.rc_context(STYLE):
        figure, rows = plt.subplots(
            len(panels), 1, figsize=(8.5, 2.3 * len(panels) + 0.8), sharex=True, squeeze=False, layout="constrained"
        )
        for axes, panel in zip(rows[:, 0], panels, strict=True):
            for curves, line in ((panel.curves, "-"), (panel.dashed, "--")):
                for name, points in curves.items():
                    axes.plot(
                        *zip(*points, strict=True),
                        color=COLOURS[names.index(name.split("/")[0]) % len(COLOURS)],
                        linestyle=line,
                        linewidth=1.3,
                        marker="o" if len(points) == 1 else None,
                    )
            if panel.level is not None:
                name, value = panel.level
                axes.axhline(value, color="#555555", linestyle=":", linewidth=1.2)
                axes.annotate(
                    name,
                    (1, value),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    xytext=(-2, 3),
                    ha="right",
                    fontsize=9,
                    color="#555555",
                )
                axes.margins(y=0.12)
            for place in marks:
                axes.axvline(place, color="#999999", linestyle=":", linewidth=1)
            axes.set_ylabel(panel.label)
            axes.grid(color="#dddddd", linewidth=0.7)
        rows[-1, 0].set_xlabel(xlabel)
        rows[0, 0].set_title(titled(title, synthetic), loc="left")
        handles = [plt.Line2D([], [], color=COLOURS[i % len(COLOURS)], label=name) for i, name in enumerate(names)]
        if any(panel.dashed for panel in panels):
            handles += [
                plt.Line2D([], [], color="#444444", label="dev"),
                plt.Line2D([], [], color="#444444", linestyle="--", label="training"),
            ]
        if len(handles) > 1:
            rows[0, 0].legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, path)


@dataclass(frozen=True)
class Frames:
    """Where frames lie in a signal: frame f hears `field` samples from sample f * `hop`."""

    hop: int
    field: int
    rate: int

    def count(self, samples: int) -> int:
        """Frames of a signal."""
        return max(0, (samples - self.field) // self.hop + 1)

    def centres(self, count: int) -> np.ndarray:
        """Time of each frame's middle in seconds, (count,)."""
        return (np.arange(count) * self.hop + self.field / 2) / self.rate

    def edges(self, count: int) -> np.ndarray:
        """Borders between frames in seconds, (count + 1,): each frame stands for one hop around its middle."""
        return (np.arange(count + 1) * self.hop + (self.field - self.hop) / 2) / self.rate


def saliency_panels(
    signal: np.ndarray,
    levels: np.ndarray,
    shift: float,
    saliency: np.ndarray,
    frames: Frames,
    path: Path,
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw Grad-CAM over the waveform as a curve and as colours, the spectrogram, and Grad-CAM over it.

    signal: (samples,).  levels: (frames of the spectrogram, bins) in dB from
    0 Hz to half the sampling rate, its frames `shift` seconds apart, the
    first around 0.  saliency: (frames,) in [0, 1].
    """
    times = np.arange(len(signal)) / frames.rate
    centres, edges = frames.centres(len(saliency)), frames.edges(len(saliency))
    reach = max(float(np.abs(signal).max()), 1e-6) * 1.05
    bins = levels.shape[1]
    half = frames.rate / 2 / (bins - 1) / 2
    extent = (-shift / 2, (len(levels) - 0.5) * shift, -half, frames.rate / 2 + half)
    top = float(levels.max())
    picture = {"origin": "lower", "aspect": "auto", "extent": extent, "interpolation": "nearest"}
    with plt.rc_context(FRAMED):
        figure, panels = plt.subplots(
            4, 1, figsize=(9.5, 9.2), sharex=True, height_ratios=(1, 1, 1.4, 1.4), layout="constrained"
        )
        curve, coloured, plain, overlay = panels
        curve.plot(times, signal, color=WAVE, linewidth=0.5)
        curve.set_ylim(-reach, reach)
        curve.set_ylabel("amplitude")
        second = curve.twinx()
        second.fill_between(centres, saliency, color=HEAT, alpha=0.25, linewidth=0)
        second.plot(centres, saliency, color=HEAT, linewidth=1.2)
        second.set_ylim(0, 1.05)
        second.set_ylabel("saliency", color=HEAT)
        curve.set_title("Waveform, and its saliency as a curve", loc="left")

        shade = np.interp(times, centres, saliency, left=saliency[0], right=saliency[-1])
        line = np.stack([times, signal], axis=1)
        colours = LineCollection(
            np.stack([line[:-1], line[1:]], axis=1), cmap="turbo", array=shade[:-1], clim=(0, 1), linewidths=0.6
        )
        coloured.add_collection(colours)
        coloured.set_ylim(-reach, reach)
        coloured.set_ylabel("amplitude")
        coloured.set_title("Waveform in the colours of its saliency", loc="left")
        figure.colorbar(colours, ax=coloured, label="saliency", pad=0.01, aspect=14)

        image = plain.imshow(levels.T, cmap="magma", vmin=top - DEPTH, vmax=top, **picture)
        plain.set_title("Spectrogram", loc="left")
        figure.colorbar(image, ax=plain, label="level (dB)", pad=0.01, aspect=14)

        overlay.imshow(levels.T, cmap="gray", vmin=top - DEPTH, vmax=top, **picture)
        wash = overlay.pcolormesh(
            edges, [0, frames.rate / 2], saliency[None], cmap=WASH, vmin=0, vmax=1, rasterized=True
        )
        figure.colorbar(wash, ax=overlay, label="saliency", pad=0.01, aspect=14)
        overlay.set_title("Saliency over the spectrogram", loc="left")
        for axes in (plain, overlay):
            _frequencies(axes, frames.rate)
        overlay.set_xlim(0, len(signal) / frames.rate)
        overlay.set_xlabel("time (s)")
        figure.suptitle(_wrapped(titled(title, synthetic)), fontsize=11)
        save(figure, path)


def character_panels(
    signal: np.ndarray,
    saliency: np.ndarray,
    characters: Sequence[str],
    frames: Frames,
    path: Path,
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw the waveform and below it a line of saliency for each character.

    signal: (samples,).  saliency: (frames, characters) in [0, 1], a column
    for each of the `characters` in their order.
    """
    count = len(characters)
    height = max(1.2, 0.15 * min(count, CHARACTERS))
    with plt.rc_context(FRAMED):
        figure, (wave, heat) = plt.subplots(
            2, 1, figsize=(9.5, 2.4 + height), sharex=True, height_ratios=(1.1, height), layout="constrained"
        )
        wave.plot(np.arange(len(signal)) / frames.rate, signal, color=WAVE, linewidth=0.5)
        wave.set_ylabel("amplitude")
        image = heat.pcolormesh(
            frames.edges(len(saliency)),
            np.arange(count + 1) - 0.5,
            saliency.T,
            cmap="viridis",
            vmin=0,
            vmax=1,
            rasterized=True,
        )
        size = min(8.0, 8.0 * CHARACTERS / count)
        heat.set_yticks(range(count), characters, fontsize=size)
        heat.tick_params(axis="y", length=0)
        heat.set_ylim(count - 0.5, -0.5)
        heat.set_ylabel("character")
        heat.set_xlabel("time (s)")
        heat.set_xlim(0, len(signal) / frames.rate)
        figure.colorbar(image, ax=heat, label="saliency", pad=0.01, aspect=30)
        figure.suptitle(_wrapped(titled(title, synthetic)), fontsize=11)
        save(figure, path)


def _wrapped(title: str) -> str:
    """Each line of a title in as many as the picture's width asks for."""
    return "\n".join(fill(line, 95) for line in title.split("\n"))


def _frequencies(axes: Axes, rate: int) -> None:
    axes.set_ylim(0, rate / 2)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("frequency (Hz)")
