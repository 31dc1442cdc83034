"""Figures of a collection."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salience.files import whole_file

TITLES = {
    "duration": "Length of a clip (s)",
    "snr": "Signal-to-noise ratio (dB)",
    "speakers": "Speakers of a recording",
}


def draw_histograms(path: Path, histograms: Mapping[str, Mapping[str, Any]], synthetic: bool) -> None:
    """Write a PNG with one histogram for each of `histograms` (edges, counts) and, where they are synthetic, a note."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(histograms), figsize=(4 * len(histograms), 3), layout="constrained")
    for axis, (name, own) in zip(axes, histograms.items(), strict=True):
        axis.stairs(own["counts"], own["edges"], fill=True)
        axis.set(xlabel=TITLES[name], ylabel="recordings" if name == "speakers" else "clips")
        axis.yaxis.get_major_locator().set_params(integer=True)
    if synthetic:
        figure.suptitle("synthetic speech")
    with whole_file(path, "wb") as handle:
        # Without the date of the drawing, the same figures give the same bytes.
        figure.savefig(handle, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
