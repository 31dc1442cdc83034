"""Pictures of noise masks and of what they cost a recogniser."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.ticker import FixedLocator

from salience.report.figures import COLOURS, MARKERS, STYLE, save, titled

Curve = Sequence[tuple[float, float]]

ACCURACY, NOISE = COLOURS[0], COLOURS[5]
FRAMED = {**STYLE, "axes.spines.top": True, "axes.spines.right": True}


def sweep_panels(
    weights: Mapping[str, Sequence[tuple[float, float, float]]], path: Path, title: str = "", synthetic: bool = False
) -> None:
    """Draw the paper's Figure 2 from {weight of the loss: (value, accuracy, noise proportion), in percent}.

    Each weight has two panels: accuracy and noise proportion against its
    value on a log axis, and accuracy against the revealed proportion, which
    is what the noise leaves.
    """
    with plt.rc_context({**STYLE, "legend.frameon": False}):
        figure, panels = plt.subplots(
            len(weights), 2, figsize=(9.5, 2.9 * len(weights) + 0.4), layout="constrained", squeeze=False
        )
        for (left, right), (weight, points) in zip(panels, weights.items()):
            values, accuracy, noise = map(np.array, zip(*sorted(points)))
            left.plot(values, accuracy, color=ACCURACY, marker=MARKERS[0], label="character accuracy")
            left.plot(values, noise, color=NOISE, marker=MARKERS[1], linestyle="--", label="noise proportion")
            left.set_xscale("log")
            left.xaxis.set_major_formatter("{x:g}")
            left.set_xlabel("weight")
            left.set_ylabel("%")
            left.set_title(f"Weight of the {weight} term", loc="left")
            right.plot(100 - noise, accuracy, color=ACCURACY, marker=MARKERS[0])
            # Only the ends are named: values in between crowd.
            for place in dict.fromkeys((0, len(values) - 1)):
                right.annotate(
                    f"{values[place]:g}",
                    (100 - noise[place], accuracy[place]),
                    textcoords="offset points",
                    xytext=(0, 7),
                    ha="center",
                    fontsize=9,
                )
            right.set_xlabel("revealed proportion (%)")
            right.set_ylabel("character accuracy (%)")
            for axes in (left, right):
                axes.grid(color="#dddddd", linewidth=0.7)
                axes.margins(0.08, 0.18)
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(titled(title, synthetic), fontsize=12)
        save(figure, path)


def overlay_colours(levels: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colours (..., 3) of a spectrogram under a mask: the level is the hue, the mask dims it.

    Blue is `low` and below, red `high` and above.  Lightness is 1 - M / 2:
    full where no noise is added, half where all of it is (Figure 3 of the
    paper, between whose two levels we interpolate).
    """
    hue = 2 / 3 * (1 - np.clip((levels - low) / max(high - low, 1e-9), 0, 1))
    hue, value = np.broadcast_arrays(hue, 1 - 0.5 * np.clip(mask, 0, 1))
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


def mask_overlays(
    examples: Sequence[tuple[str, np.ndarray, np.ndarray]],
    path: Path,
    frame_shift: float,
    title: str = "",
    synthetic: bool = False,
    sampling_rate: int = 16000,
) -> None:
    """Draw the paper's Figure 3 from (title, level in dB, mask), both (frames, bins) from 0 Hz up.

    `frame_shift` is in seconds.  All spectrograms share one scale of levels,
    which the small panel at the right explains.
    """
    everything = np.concatenate([levels.ravel() for _, levels, _ in examples])
    low, high = np.percentile(everything, (10, 99.8))
    with plt.rc_context(FRAMED):
        figure = plt.figure(figsize=(10, 2.9 * len(examples) + 0.5), layout="constrained")
        grid = figure.add_gridspec(len(examples), 2, width_ratios=(18, 1))
        for row, (name, levels, mask) in enumerate(examples):
            axes = figure.add_subplot(grid[row, 0])
            frames, bins = levels.shape
            # Frames and bins are centred at their times and frequencies.
            half = sampling_rate / 2 / (bins - 1) / 2
            axes.imshow(
                overlay_colours(levels, mask, low, high).transpose(1, 0, 2),
                origin="lower",
                aspect="auto",
                extent=(-frame_shift / 2, (frames - 0.5) * frame_shift, -half, sampling_rate / 2 + half),
                interpolation="nearest",
            )
            axes.set_xlim(0, (frames - 1) * frame_shift)
            axes.set_ylim(0, sampling_rate / 2)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.set_ylabel("frequency (Hz)")
            axes.set_title(fill(name, 100), loc="left", fontsize=10)
        axes.set_xlabel("time (s)")
        legend = figure.add_subplot(grid[0, 1])
        legend.imshow(
            overlay_colours(np.linspace(low, high, 128)[:, None], np.linspace(0, 1, 32)[None], low, high),
            origin="lower",
            aspect="auto",
            extent=(0, 1, low, high),
        )
        legend.set_xticks([0, 1])
        legend.set_xlabel("mask M")
        legend.yaxis.tick_right()
        legend.yaxis.set_label_position("right")
        legend.set_ylabel("level (dB)")
        figure.suptitle(titled(title, synthetic), fontsize=12)
        save(figure, path)


def frequency_curve(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: Path,
    marks: Sequence[float] = (1000, 1700),
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw importance in percent, {name: (hertz, importance)}, with marks at some frequencies."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
        for index, (name, (hertz, importance)) in enumerate(curves.items()):
            axes.plot(hertz, importance, color=COLOURS[index % len(COLOURS)], linewidth=1.4, label=name)
        axes.set_ylim(bottom=0)
        for hertz in marks:
            axes.axvline(hertz, color="#777777", linestyle=":", linewidth=1)
            axes.annotate(
                f"{hertz:,.0f} Hz",
                (hertz, 1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                xytext=(4, -11),
                fontsize=9,
                color="#555555",
            )
        axes.set_xlim(0, max(hertz[-1] for hertz, _ in curves.values()))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel("mean importance 1 - M (%)")
        axes.set_title(titled(title, synthetic), loc="left")
        axes.grid(color="#dddddd", linewidth=0.7)
        if len(curves) > 1:
            axes.legend(frameon=False)
        save(figure, path)


def mask_training(
    excess: Mapping[str, Curve],
    noise: Mapping[str, Curve],
    path: Path,
    allowed: float | None = None,
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw what masks cost on dev and how much noise they let through, {name: (step, value)} each.

    `excess` is in points of CER above clean speech, of which a chosen mask
    may cost `allowed`, a line across; `noise` is the noise proportion in
    percent.
    """
    with plt.rc_context(STYLE):
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(8.5, 5.8), sharex=True, layout="constrained")
        for axes, curves in ((top, excess), (bottom, noise)):
            for index, (name, points) in enumerate(curves.items()):
                axes.plot(
                    *zip(*points),
                    color=COLOURS[index % len(COLOURS)],
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=4,
                    linewidth=1.2,
                    label=name,
                )
            axes.grid(color="#dddddd", linewidth=0.7)
        if allowed is not None:
            top.axhline(allowed, color="#777777", linestyle="--", linewidth=1, label=f"{allowed:g} points")
        # The first masks cost a hundred points, the chosen one a few.
        top.set_yscale("symlog", linthresh=10)
        top.yaxis.set_major_formatter("{x:g}")
        top.yaxis.set_major_locator(FixedLocator([-10, -5, 0, 5, 10, 20, 50, 100]))
        top.minorticks_off()
        top.set_ylabel("dev CER above clean speech\n(points)")
        bottom.set_ylabel("dev noise proportion\n(%)")
        bottom.set_xlabel("training step")
        top.set_title(titled(title, synthetic), loc="left")
        top.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)


def rates_by_snr(
    names: Sequence[str],
    systems: Mapping[str, Mapping[str, tuple[float, float, float]]],
    path: Path,
    ylabel: str = "CER (%)",
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw a line with intervals for each system over SNRs: {system: {name: (value, low, high)}}."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
        for index, (system, rates) in enumerate(systems.items()):
            # Beside each other, so that intervals can be told apart.
            shift = min(0.08, 0.4 / len(systems)) * (index - (len(systems) - 1) / 2)
            shown = [(place + shift, *rates[name]) for place, name in enumerate(names) if name in rates]
            places, values, lows, highs = map(np.array, zip(*shown))
            axes.errorbar(
                places,
                values,
                yerr=np.maximum(0, [values - lows, highs - values]),
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                linestyle="-" if index < len(COLOURS) else "--",
                markersize=5,
                linewidth=1.3,
                elinewidth=1,
                capsize=2,
                label=system,
            )
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("signal-to-noise ratio")
        axes.set_ylabel(ylabel)
        axes.set_title(titled(title, synthetic), loc="left")
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)
