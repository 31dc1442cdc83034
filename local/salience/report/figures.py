"""Pictures of a run.  Each function draws one picture into one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from salience.files import publish, temporary_name

# Okabe and Ito's palette, told apart by readers with any colour vision; its yellow is too pale for lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.dpi": 130,
    "savefig.bbox": "tight",
}
HERTZ = (250, 500, 1000, 2000, 4000, 8000)


def confusion_matrix(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], path: Path, title: str = "", synthetic: bool = False
) -> None:
    """Draw counts (true class, predicted class); the shade is the share of the true class."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 1.6 + 0.62 * len(labels))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(size + 1, size))
        image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.55 else "#222222" if counts[row, column] else "#bbbbbb"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title(titled(title or "Confusion matrix (utterances)", synthetic))
        figure.colorbar(image, ax=axes, label="share of the true class (%)", fraction=0.046, pad=0.04)
        save(figure, path)


def triptych(
    logmel: np.ndarray,
    saliency: np.ndarray,
    masked: np.ndarray,
    path: Path,
    title: str = "",
    frame_shift: float = 0.01,
    synthetic: bool = False,
    sampling_rate: int = 16000,
) -> None:
    """Draw a log-mel spectrogram, its saliency map in [0, 1] and the masked spectrogram, all (frames, bins).

    `frame_shift` is in seconds.  Both spectrograms share one colour scale;
    what the mask changed is drawn grey, whatever it was filled with.
    """
    frames, bins = logmel.shape
    extent = (0.0, frames * frame_shift, 0.0, float(bins))
    low, high = np.percentile(logmel, (1, 99.8))
    changed = ~np.isclose(logmel, masked, atol=1e-6)
    ticks = [hertz for hertz in HERTZ if hertz < sampling_rate / 2]
    # Bin b is centred at mel point b + 1 of bins + 2 equally spaced ones from 0 Hz to half the sampling rate.
    places = [_slaney_mel(hertz) / _slaney_mel(sampling_rate / 2) * (bins + 1) - 0.5 for hertz in ticks]
    with plt.rc_context({**STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        figure, rows = plt.subplots(3, 1, figsize=(8.5, 7.2), sharex=True, sharey=True, layout="constrained")
        panels = (
            ("Log-mel spectrogram", logmel, "magma", low, high, "log-mel energy"),
            ("Saliency map", saliency, "viridis", 0.0, 1.0, "saliency"),
            (
                f"Masked spectrogram, {100 * changed.mean():.1f} % of the points changed (grey)",
                np.ma.array(masked, mask=changed),
                "magma",
                low,
                high,
                "log-mel energy",
            ),
        )
        for axes, (name, values, colours, bottom, top, unit) in zip(rows, panels):
            axes.set_facecolor("#9aa0a6")
            image = axes.imshow(
                values.T,
                origin="lower",
                aspect="auto",
                extent=extent,
                cmap=colours,
                vmin=bottom,
                vmax=top,
                interpolation="nearest",
            )
            axes.set_title(name, loc="left")
            axes.set_yticks(places, [f"{hertz:,}" for hertz in ticks])
            axes.set_ylim(0, bins)
            axes.set_ylabel("frequency (Hz)")
            figure.colorbar(image, ax=axes, label=unit, pad=0.01, aspect=14)
        rows[-1].set_xlabel("time (s)")
        figure.suptitle(titled(title, synthetic), fontsize=12)
        save(figure, path)


def _slaney_mel(hertz: float) -> float:
    """Slaney's mel scale, which Whisper's filters use: linear to 1 kHz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def training_curves(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    path: Path,
    ylabel: str,
    xlabel: str = "training step",
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw (step, value) curves by name; names that share a part before `/` share a colour.

    `gradcam/seed1` and `gradcam/seed2` are two thin lines of one colour.
    """
    groups = list(dict.fromkeys(name.split("/")[0] for name in curves))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
        named = set()
        for name, points in curves.items():
            group = name.split("/")[0]
            index = groups.index(group)
            steps, values = zip(*points)
            axes.plot(
                steps,
                values,
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                markersize=6,
                markevery=[len(steps) - 1],
                linewidth=1.2,
                alpha=0.85,
                label=None if group in named else group,
            )
            named.add(group)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.set_title(titled(title, synthetic), loc="left")
        axes.grid(color="#dddddd", linewidth=0.7)
        if len(groups) > 1 or groups[0]:
            axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)


def rate_bars(
    sets: Sequence[str],
    systems: Mapping[str, Mapping[str, tuple[float, float, float]]],
    path: Path,
    ylabel: str = "WER (%)",
    title: str = "",
    synthetic: bool = False,
) -> None:
    """Draw a bar with its interval for each system on each set: {system: {set: (value, low, high)}}."""
    width = 0.82 / max(len(systems), 1)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            figsize=(max(6.0, 1.4 + 0.36 * len(sets) * len(systems)), 4.4), layout="constrained"
        )
        for index, (system, rates) in enumerate(systems.items()):
            places, values, reach = [], [], []
            for place, name in enumerate(sets):
                if name in rates:
                    value, low, high = rates[name]
                    places.append(place + (index - (len(systems) - 1) / 2) * width)
                    values.append(value)
                    reach.append((max(0.0, value - low), max(0.0, high - value)))
            axes.bar(
                places,
                values,
                width * 0.92,
                color=COLOURS[index % len(COLOURS)],
                hatch="//" if index >= len(COLOURS) else None,
                label=system,
                yerr=np.array(reach).T.reshape(2, -1),
                error_kw={"ecolor": "#444444", "elinewidth": 1, "capsize": 2},
            )
        axes.set_xticks(range(len(sets)), sets)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(ylabel)
        axes.set_title(titled(title, synthetic), loc="left")
        axes.grid(axis="y", color="#dddddd", linewidth=0.7)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save(figure, path)


def titled(title: str, synthetic: bool) -> str:
    """A title that says so where the speech is synthetic."""
    return f"{title} [synthetic speech]".strip() if synthetic else title


def save(figure: Figure, path: Path) -> None:
    """Write and close a figure, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    # Without the date of drawing, so that the same data give the same bytes.
    figure.savefig(
        temporary, format=path.suffix[1:] or "png", metadata={"Software": None} if path.suffix == ".png" else None
    )
    plt.close(figure)
    publish(temporary, path)
