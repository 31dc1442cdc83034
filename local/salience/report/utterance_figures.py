"""Figures of utterances: spectrograms with saliency maps, masks and noise, and waveforms with their maps."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill as wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, hsv_to_rgb, to_rgb

from salience.audio import write_audio
from salience.data.directories import read_data_dir
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table
from salience.data.waveforms import RATE, Waveforms
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.keywords import HOP
from salience.features.logmel import FRAME_SHIFT
from salience.files import publish, read_json, temporary_name
from salience.masking.importance import Mixture, mixture
from salience.report.figures import COLOURS, FIGURES, GREY, Drawing, finish
from salience.saliency.base import Maps, read_maps
from salience.scoring.noise_masks import frequency_importance, mean_of_seeds

HERTZ = (250, 500, 1000, 2000, 4000, 8000)
DEPTH = 80
"""Decibels below the loudest point that the colours reach."""
WAVE, HEAT = COLOURS[0], COLOURS[5]
WASH = ListedColormap([(*to_rgb(HEAT), 0.75 * share) for share in np.linspace(0, 1, 256)])
"""The more salient, the less transparent."""
CHARACTERS = 60
"""Rows of a figure by character whose height still grows."""
SIZE, SHIFT = 512, 128
"""Samples of the windows of a drawn spectrogram, and between them."""
FIELD, STRIDE = 400, 320
"""Samples that a frame of wav2vec 2.0's feature encoder sees, and between frames."""


def chosen(data: Path, archives: Sequence[Any], wanted: str, by: str = "accent", number: int = 3) -> list[Utterance]:
    """The wanted utterances of a data directory, or the first that all archives have, one for each value of a field."""
    known = {utterance.id: utterance for utterance in read_data_dir(data)}
    for key in wanted.split():
        if key not in known:
            raise InputError(f"{data} has no utterance {key}; correct --utterances")
    first_of: dict[str | None, Utterance] = {}
    for utterance in known.values():
        if all(utterance.id in archive for archive in archives):
            first_of.setdefault(getattr(utterance, by), utterance)
    return [known[key] for key in wanted.split()] or list(first_of.values())[:number]


def decibels_of(signal: np.ndarray, size: int = SIZE, hop: int = SHIFT, floor: float = 1e-10) -> np.ndarray:
    """Levels in dB of the points of a spectrogram (frames, bins), from a signal (samples,)."""
    import torch

    from salience.features.stft import stft

    power = stft(torch.from_numpy(np.ascontiguousarray(signal))[None], size, hop)[0].abs().square().numpy()
    return 10 * np.log10(np.maximum(power, floor))


def show(axes: Axes, values: np.ndarray, shift: float, title: str = "", rate: int = RATE, **options: Any) -> Any:
    """Draw a spectrogram (frames, bins from 0 Hz to half the rate, any colours) over seconds and Hz; return the image.

    Args:
        axes: Where to draw.
        values: The spectrogram.
        shift: Seconds between frames.
        title: Title of the panel.
        rate: Sampling rate in Hz.
        options: Keyword arguments of imshow.
    """
    frames, bins = values.shape[:2]
    # Frames and bins are centred at their times and frequencies.
    half = rate / 2 / (bins - 1) / 2
    extent = (-shift / 2, (frames - 0.5) * shift, -half, rate / 2 + half)
    turned = values.swapaxes(0, 1)
    image = axes.imshow(turned, extent=extent, **options)
    axes.set_xlim(0, (frames - 1) * shift)
    axes.set_ylim(0, rate / 2)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, fontsize=10)
    return image


def slaney_mel(hertz: float) -> float:
    """Slaney's mel scale, which Whisper's filters use: linear to 1 kHz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


@FIGURES.register("masked-features")
def draw_masked_features(
    drawing: Drawing, data: str, features: str, maps: str, masked: str, utterances: str = "", number: int = 3
) -> None:
    """Draw log-mel spectrograms, their saliency maps and the masked spectrograms, of one utterance of each accent.

    Args:
        drawing: The run.
        data: Data directory of the set.
        features: Its feats.scp.
        maps: Its saliency.scp.
        masked: Its feats.scp, masked.
        utterances: Which utterances, separated by spaces.
        number: At most this many, if none is named.
    """
    places = [drawing.path(pattern) for pattern in (data, features, maps, masked)]
    if None in places:
        return
    logmels, saliency, after = Archive(places[1]), read_maps(places[2]), Archive(places[3])
    for utterance in chosen(places[0], [saliency], drawing.text(utterances), number=number):
        logmel = logmels[utterance.id]
        title = f"{utterance.id}, {utterance.accent or 'accent unknown'}"
        unit = saliency[utterance.id].unit(*logmel.shape)
        masked_panels(drawing, f"triptych_{utterance.id}", title, logmel, unit, after[utterance.id])


def masked_panels(
    drawing: Drawing, name: str, title: str, logmel: np.ndarray, saliency: np.ndarray, masked: np.ndarray
) -> None:
    """Draw a log-mel spectrogram, its saliency map in [0, 1] and the masked spectrogram, all (frames, bins).

    Both spectrograms share one colour scale; what the mask changed is grey, whatever it was filled with.
    """
    frames, bins = logmel.shape
    low, high = np.percentile(logmel, (1, 99.8))
    changed = ~np.isclose(logmel, masked, atol=1e-6)
    ticks = [hertz for hertz in HERTZ if hertz < RATE / 2]
    # Bin b is centred at mel point b + 1 of bins + 2 equally spaced ones from 0 Hz to half the sampling rate.
    places = [slaney_mel(hertz) / slaney_mel(RATE / 2) * (bins + 1) - 0.5 for hertz in ticks]
    level = {"cmap": "magma", "vmin": low, "vmax": high}
    share = f"Masked spectrogram, {100 * changed.mean():.1f} % of the points changed (grey)"
    panels = (
        ("Log-mel spectrogram", logmel, level, "log-mel energy"),
        ("Saliency map", saliency, {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0}, "saliency"),
        (share, np.ma.array(masked, mask=changed), level, "log-mel energy"),
    )
    extent = (0.0, frames * FRAME_SHIFT, 0.0, float(bins))
    with drawing.picture(name, title, (3, 1), (8.5, 7.2), True, sharex=True, sharey=True) as (figure, rows):
        for axes, (label, values, colours, unit) in zip(rows[:, 0], panels):
            axes.set_facecolor("#9aa0a6")
            image = axes.imshow(values.T, extent=extent, **colours)
            axes.set_title(label)
            axes.set_yticks(places, [f"{hertz:,}" for hertz in ticks])
            axes.set_ylim(0, bins)
            axes.set_ylabel("frequency (Hz)")
            figure.colorbar(image, ax=axes, label=unit, pad=0.01, aspect=14)
        rows[-1, 0].set_xlabel("time (s)")


# Noise masks


@FIGURES.register("noise-masks")
def draw_noise_masks(drawing: Drawing, data: str, masks: str, settings: str, utterances: str = "") -> None:
    """Draw Figure 3 of Salami Kavaki and Mandel (2020): spectrograms, dark where their masks add noise.

    Args:
        drawing: The run.
        data: Data directory of the set.
        masks: Pattern of its mask.scp files, the first of which is drawn.
        settings: Pattern of the estimator's config.json, which holds the hop of the masks.
        utterances: Which utterances, separated by spaces; the first of three speakers by default.
    """
    folder, scp, config = map(drawing.path, (data, masks, settings))
    if folder is None or scp is None or config is None:
        return
    archive, hop = Archive(scp), read_json(config)["hop"]
    examples = []
    for utterance in chosen(folder, [archive], drawing.text(utterances), "speaker"):
        mask = archive[utterance.id]
        # On the scale of 16-bit samples, below which there is nothing to hear.
        signal = np.float32(32768) * read_utterance(utterance, RATE)
        levels = decibels_of(signal, 2 * (mask.shape[1] - 1), hop, 1.0)
        if len(levels) != len(mask):
            raise InputError(
                f"{scp}: the mask of {utterance.id} has {len(mask)} frames and its spectrogram {len(levels)}; run the"
                " stage that writes the masks again"
            )
        examples.append((f"{utterance.id}: {utterance.text}", levels, mask))
    mask_panels(drawing, examples, hop / RATE)


def mask_panels(drawing: Drawing, examples: Sequence[tuple[str, np.ndarray, np.ndarray]], shift: float) -> None:
    """Draw (title, level in dB, mask) of utterances, both (frames, bins); one scale, which the small panel explains."""
    low, high = np.percentile(np.concatenate([levels.ravel() for _, levels, _ in examples]), (10, 99.8))
    title = "Clean speech under its mask: bright where it is spared, dark where noise is added"
    shape, size = (len(examples), 2), (10, 2.9 * len(examples) + 0.5)
    with drawing.picture("masks", title, shape, size, True, width_ratios=(18, 1)) as (_, rows):
        for (axes, beside), (label, levels, mask) in zip(rows, examples):
            show(axes, overlay_colours(levels, mask, low, high), shift, wrap(label, 100))
            axes.set_ylabel("frequency (Hz)")
            beside.set_visible(False)
        axes.set_xlabel("time (s)")
        key = rows[0, 1]
        key.set_visible(True)
        colours = overlay_colours(np.linspace(low, high, 128)[:, None], np.linspace(0, 1, 32)[None], low, high)
        key.imshow(colours, extent=(0, 1, low, high))
        key.set(xticks=[0, 1], xlabel="mask M", ylabel="level (dB)")
        key.yaxis.tick_right()
        key.yaxis.set_label_position("right")


def overlay_colours(levels: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colours (..., 3) of a spectrogram under a mask: the level is the hue, the mask dims it.

    Blue is `low` and below, red `high` and above.  Lightness is 1 - M / 2:
    full where no noise is added, half where all of it is (Figure 3 of the
    paper, between whose two levels we interpolate).
    """
    hue = 2 / 3 * (1 - np.clip((levels - low) / max(high - low, 1e-9), 0, 1))
    hue, value = np.broadcast_arrays(hue, 1 - 0.5 * np.clip(mask, 0, 1))
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


@FIGURES.register("frequency-importance")
def draw_frequency_importance(drawing: Drawing, masks: str, marks: Sequence[float] = (1000, 1700)) -> None:
    """Draw the mean importance of each frequency, a line for each seed and their mean.

    Args:
        drawing: The run.
        masks: Pattern of one set's mask.scp files.
        marks: Frequencies in Hz that are marked.
    """
    found = drawing.found(masks)
    if not found:
        return
    curves = [frequency_importance(Archive(path).values(), RATE) for _, path in found]
    lines = {f"seed {fields.get('seed', '')}": curve for (fields, _), curve in zip(found, curves)}
    if len(lines) > 1:
        lines["mean"] = mean_of_seeds(curves)
    title = f"Which frequencies the masks spare, {curves[0].utterances} utterances"
    with drawing.picture("frequency_importance", title, size=(8.5, 4.2)) as (_, ((axes,),)):
        for index, (name, curve) in enumerate(lines.items()):
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(curve.hertz, 100 * curve.importance, color=colour, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, curves[0].hertz[-1])
        for hertz in marks:
            axes.axvline(hertz, color=GREY, linestyle=":")
            axes.annotate(
                f"{hertz:,.0f} Hz", (hertz, 1), (4, -11), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=9, color="#555555",
            )  # fmt: skip
        axes.xaxis.set_major_formatter("{x:,.0f}")
        finish(axes, "mean importance 1 - M (%)", "frequency (Hz)", legend=len(lines) > 1)


@FIGURES.register("noise-through-masks")
def draw_mixtures(
    drawing: Drawing,
    data: str,
    packed: str,
    noise: str,
    masks: str,
    utterances: str = "",
    audio: str = "",
    snr: float = -12.5,
    shift: int = 30,
    seed: int = 1,
    number: int = 3,
) -> None:
    """Draw Figure 2 of Trinh et al. (2022) for utterances, and write their sound.

    Args:
        drawing: The run.
        data: Data directory of the set.
        packed: Its packed signals.
        noise: Folder of a packed set of noise; each utterance gets a random piece.
        masks: Its mask.scp.
        utterances: Which utterances, separated by spaces; the first of three words by default.
        audio: Folder for the sound, all of one utterance equally loud: clean, the mixture through the rolled map, and
            the mixture with noise everywhere.
        snr: Signal-to-noise ratio in dB of the utterance and its noise before masking.
        shift: Masks are rolled by less than this many frames or bins.
        seed: Random seed of the noise and the roll.
        number: At most this many, if none is named.
    """
    places = [drawing.path(pattern) for pattern in (data, packed, noise, masks)]
    if None in places:
        return
    source, pieces, archive = read_packed(places[1]), read_packed(places[2]), Archive(places[3])
    for utterance in chosen(places[0], [archive, source.ids], drawing.text(utterances), "text", number):
        made = mixture(utterance.id, archive[utterance.id], source, pieces, snr, shift, seed)
        mixture_panels(
            drawing, f"importance_{utterance.id}", f"{utterance.id}: {utterance.text}, with {made.noise}", made
        )
        if folder := drawing.text(audio):
            write_sounds(Path(folder), utterance.id, made.sounds)


def mixture_panels(drawing: Drawing, name: str, title: str, made: Mixture) -> None:
    """Draw (a) clean, (b) importance, (c) rolled, (d) noise, (e) mixture, and what is added, on one scale of levels."""
    added = made.levels["noise"] + 20 * np.log10(np.maximum(1 - made.rolled, 1e-10))
    top = max(made.levels["clean"].max(), made.levels["noise"].max())
    level = {"cmap": "magma", "vmin": top - DEPTH, "vmax": top}
    share = {"cmap": "Blues", "vmin": 0, "vmax": 1}
    panels = (
        ("(a) Clean speech", made.levels["clean"], level),
        ("(b) Importance 1 - M", made.importance, share),
        (f"(c) Importance rolled, {made.moved}", made.rolled, share),
        (f"(d) Noise at {made.snr:g} dB", made.levels["noise"], level),
        ("(e) Mixture", made.levels["mixture"], level),
        ("Noise that is added: (d) under (c)", added, level),
    )
    with drawing.picture(name, title, (2, 3), (12, 6.2), True, sharex=True, sharey=True) as (figure, axes):
        images = {
            scale["cmap"]: show(place, values.T, HOP / RATE, label, **scale)
            for place, (label, values, scale) in zip(axes.flat, panels, strict=True)
        }
        for place in axes[:, 0]:
            place.set_ylabel("frequency (Hz)")
        for place in axes[1]:
            place.set_xlabel("time (s)")
        figure.colorbar(images["Blues"], ax=axes[0], label="importance", pad=0.01, aspect=14)
        figure.colorbar(images["magma"], ax=axes[1], label="level (dB)", pad=0.01, aspect=14)


def write_sounds(folder: Path, key: str, sounds: dict[str, np.ndarray]) -> None:
    """Write waveforms of one utterance as KEY.NAME.wav, scaled alike so that the loudest fits."""
    loudest = max(1.0, *(float(np.abs(waveform).max()) for waveform in sounds.values()))
    folder.mkdir(parents=True, exist_ok=True)
    for name, waveform in sounds.items():
        path = folder / f"{key}.{name}.wav"
        write_audio(temporary_name(path), waveform / loudest, RATE, subtype="PCM_16", format="WAV")
        publish(temporary_name(path), path)


# Maps of wav2vec 2.0


@FIGURES.register("waveform-maps")
def draw_waveform_maps(
    drawing: Drawing, data: str, maps: str, packed: str = "", utterances: str = "", number: int = 3
) -> None:
    """Draw the maps of wav2vec 2.0 over waveform and spectrogram, or by character, of one utterance of each accent.

    Args:
        drawing: The run.
        data: Data directory of the set.
        maps: Pattern of its saliency.scp files; a table `symbols` stands beside those with a column for each character.
        packed: Folder of its packed signals; without one the recordings are decoded.
        utterances: Which utterances, separated by spaces.
        number: At most this many, if none is named.
    """
    folder = drawing.path(data)
    found = [("_".join(fields.values()) or "map", read_maps(path)) for fields, path in drawing.found(maps)]
    if folder is None or not found:
        return
    waveforms = Waveforms(folder, drawing.path(packed), scaled=False)
    for utterance in chosen(folder, [archive for _, archive in found], drawing.text(utterances), number=number):
        signal = waveforms[utterance.id]
        said = f"{utterance.accent or 'accent unknown'}, {utterance.id}: {utterance.text}"
        for name, archive in found:
            file, title = f"{name}_{utterance.id}", f"{name.replace('_', ', ')}\n{said}"
            symbols = archive.archive.path.with_name("symbols")
            names = read_table(symbols)[utterance.id].split() if symbols.exists() else None
            saliency = _checked(archive, utterance.id, len(signal), len(names or "1"))
            if names is None:
                waveform_panels(drawing, file, title, signal, saliency[:, 0])
            else:
                shown = ["(space)" if name == "|" else name for name in names]
                character_panels(drawing, file, title, signal, saliency, shown)


def _checked(maps: Maps, key: str, samples: int, columns: int) -> np.ndarray:
    """The values of a map, which are those of the signal's frames."""
    values, frames = maps[key].values, max(0, (samples - FIELD) // STRIDE + 1)
    if values.shape != (frames, columns):
        raise InputError(
            f"{maps.archive.path}: the map of {key} is of the shape {values.shape}, and its signal asks for"
            f" ({frames}, {columns}); run the step that writes the maps again"
        )
    return values


def edges(count: int) -> np.ndarray:
    """Borders in seconds between wav2vec 2.0's frames, (count + 1,): each stands for one stride around its middle."""
    return (np.arange(count + 1) * STRIDE + (FIELD - STRIDE) / 2) / RATE


def waveform_panels(drawing: Drawing, name: str, title: str, signal: np.ndarray, saliency: np.ndarray) -> None:
    """Draw saliency (frames,) in [0, 1] over the waveform (samples,), as a curve and colours, and the spectrogram."""
    times = np.arange(len(signal)) / RATE
    centres = edges(len(saliency))[:-1] + STRIDE / RATE / 2
    reach = max(float(np.abs(signal).max()), 1e-6) * 1.05
    levels = decibels_of(signal)
    level = {"vmin": levels.max() - DEPTH, "vmax": levels.max()}
    heights = {"height_ratios": (1, 1, 1.4, 1.4), "sharex": True}
    with drawing.picture(name, title, (4, 1), (9.5, 9.2), True, **heights) as (figure, panels):
        curve, coloured, plain, overlay = panels[:, 0]
        curve.plot(times, signal, color=WAVE, linewidth=0.5)
        second = curve.twinx()
        second.fill_between(centres, saliency, color=HEAT, alpha=0.25, linewidth=0)
        second.plot(centres, saliency, color=HEAT)
        second.set_ylim(0, 1.05)
        second.set_ylabel("saliency", color=HEAT)
        curve.set_title("Waveform, and its saliency as a curve")
        line = np.stack([times, signal], axis=1)
        shade = np.interp(times, centres, saliency)[:-1]
        pieces = np.stack([line[:-1], line[1:]], axis=1)
        colours = LineCollection(pieces, cmap="turbo", array=shade, clim=(0, 1), linewidths=0.6)
        coloured.add_collection(colours)
        coloured.set_title("Waveform in the colours of its saliency")
        for axes in (curve, coloured):
            axes.set_ylim(-reach, reach)
            axes.set_ylabel("amplitude")
        image = show(plain, levels, SHIFT / RATE, "Spectrogram", cmap="magma", **level)
        show(overlay, levels, SHIFT / RATE, "Saliency over the spectrogram", cmap="gray", **level)
        borders = (edges(len(saliency)), [0, RATE / 2])
        wash = overlay.pcolormesh(*borders, saliency[None], cmap=WASH, vmin=0, vmax=1, rasterized=True)
        for axes in (plain, overlay):
            axes.set_ylabel("frequency (Hz)")
        for axes, drawn, unit in ((coloured, colours, ""), (plain, image, "level (dB)"), (overlay, wash, "")):
            figure.colorbar(drawn, ax=axes, label=unit or "saliency", pad=0.01, aspect=14)
        overlay.set_xlim(0, len(signal) / RATE)
        overlay.set_xlabel("time (s)")


def character_panels(
    drawing: Drawing, name: str, title: str, signal: np.ndarray, saliency: np.ndarray, characters: Sequence[str]
) -> None:
    """Draw the waveform (samples,) and below it a line of saliency (frames, characters) in [0, 1] a character."""
    count = len(characters)
    height = max(1.2, 0.15 * min(count, CHARACTERS))
    heights = {"height_ratios": (1.1, height), "sharex": True}
    with drawing.picture(name, title, (2, 1), (9.5, 2.4 + height), True, **heights) as (figure, ((wave,), (heat,))):
        wave.plot(np.arange(len(signal)) / RATE, signal, color=WAVE, linewidth=0.5)
        wave.set_ylabel("amplitude")
        borders = (edges(len(saliency)), np.arange(count + 1) - 0.5)
        image = heat.pcolormesh(*borders, saliency.T, cmap="viridis", vmin=0, vmax=1, rasterized=True)
        heat.set_yticks(range(count), characters, fontsize=min(8.0, 8.0 * CHARACTERS / count))
        heat.tick_params(axis="y", length=0)
        heat.set_ylim(count - 0.5, -0.5)
        heat.set(xlabel="time (s)", ylabel="character", xlim=(0, len(signal) / RATE))
        figure.colorbar(image, ax=heat, label="saliency", pad=0.01, aspect=30)
