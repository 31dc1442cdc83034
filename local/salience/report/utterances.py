"""The utterances of a page: hypotheses, and spectrograms with maps, masks and sound.

UTTERANCES are the kinds that a recipe's report.yaml names: functions of a
`Gallery` and of their keys, which add hypotheses or a `Painter`.  Whatever a
run did not make is left out.
"""

import base64
import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import torch

from salience.audio import read_audio
from salience.data import normalisers
from salience.data.alignment import segments
from salience.data.bidi import goes_right_to_left
from salience.data.directories import read_data_dir
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table
from salience.errors import InputError, stale
from salience.features.archives import Archive
from salience.features.keywords import HOP
from salience.features.logmel import FRAME_SHIFT
from salience.features.stft import stft
from salience.files import read_json
from salience.masking.apply import Masker, open_maps, set_sizes
from salience.masking.importance import mixture
from salience.masking.noise import THRESHOLD
from salience.masking.sound import masked_audio
from salience.masking.systems import System, asked_systems
from salience.randomness import generator
from salience.registry import Registry
from salience.report.charts import RATE, Drawing
from salience.saliency.base import SaliencyMap, read_maps
from salience.scoring.patterns import only_seeds

RECOMPUTED = ("probabilistic", "top-share")
"""Policies that the page's script knows as well; their masks follow the sliders."""
MAX_BYTES = 7_500_000
"""Of pictures and sound: with everything else, the page stays under 10 MB."""
LISTED = 200
"""Utterances of a set that are listed with their hypotheses."""
DEPTH = 80
"""Decibels below the loudest point that the colours reach."""
STRIDE = 320
"""Samples between latent frames of wav2vec 2.0."""
SIZE, SHIFT = 512, 128
"""Samples of the windows of a drawn spectrogram, and between them."""


class Painter(Protocol):
    """Makes pictures and sound of the utterances of some sets."""

    folders: Mapping[str, Path]
    """Data directories of the sets."""
    mapped: Collection[str]
    """Those of them that have maps or masks."""

    def paint(self, name: str, utterance: Utterance) -> dict[str, Any] | None:
        """What the script draws of an utterance of a set; None if there is nothing of it."""


@dataclass
class Gallery:
    """The utterances that a page shows.

    Args:
        drawing: The run.
        number: At most this many have pictures and sound; those of the run's value `examples` come first.
    """

    drawing: Drawing
    number: int = 24
    entries: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    painters: list[Painter] = field(default_factory=list)

    def entry(self, name: str, utterance: Utterance) -> dict[str, Any]:
        """What is shown of an utterance of a set, new if need be."""
        known = {"id": utterance.id, "set": name, "speaker": utterance.speaker, "text": utterance.text}
        known |= {"accent": utterance.accent or "", "hypotheses": []}
        return self.entries.setdefault((name, utterance.id), known)

    def folder(self, data: str, name: str) -> Path | None:
        """The data directory of a set, from a pattern with {set} in it."""
        return self.drawing.path(data.replace("{set}", name))

    def shown(self) -> list[dict[str, Any]]:
        """All utterances for the script, first those with pictures, as many as there is room for."""
        size = 0
        painted: dict[tuple[str, str], dict[str, Any]] = {}
        for name, utterance, painter in self._order():
            if len(painted) >= self.number or size > MAX_BYTES:
                break
            if picture := painter.paint(name, utterance):
                entry = painted[name, utterance.id] = self.entry(name, utterance)
                entry["picture"] = picture
                size += len(json.dumps(picture))
        return list((painted | self.entries).values())

    def _order(self) -> Iterator[tuple[str, Utterance, Painter]]:
        """Utterances by who paints them: wanted ones, then those with hypotheses, sets and accents in turn."""
        turns: list[list[tuple[str, Utterance, Painter]]] = []
        known: set[str] = set()
        for painter in self.painters:
            for name, folder in painter.folders.items():
                utterances = read_data_dir(folder)
                known |= {utterance.id for utterance in utterances}
                turns.append([(name, utterance, painter) for utterance in spread(utterances)])
        wanted = self.drawing.text("$examples").split()
        for key in wanted:
            if known and key not in known:
                folders = ", ".join(str(folder) for painter in self.painters for folder in painter.folders.values())
                raise InputError(f"{folders} has no utterance {key}; correct --examples")
        found = [one for one in chain.from_iterable(zip_longest(*turns)) if one is not None]
        rank = {key: place for place, key in enumerate(wanted)}
        # First those that have both maps and hypotheses.
        found.sort(
            key=lambda one: (
                rank.get(one[1].id, len(rank)),
                one[0] not in one[2].mapped or (one[0], one[1].id) not in self.entries,
            )
        )
        return iter(found)


def spread(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Utterances with one of each accent, or speaker where there are none, in turn, whole seconds before long ones."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in sorted(utterances, key=lambda one: one.duration > 12):
        groups.setdefault(utterance.accent or utterance.speaker, []).append(utterance)
    return [one for one in chain.from_iterable(zip_longest(*groups.values())) if one is not None]


UTTERANCES: Registry[Callable[..., None]] = Registry("kind of utterances")


@UTTERANCES.register("hypotheses")
def hypotheses(
    gallery: Gallery, data: str, texts: str, normaliser: str = "raw", name: str = "{system}", only: str = "{system}"
) -> None:
    """Align the hypotheses of every system with the references, of some utterances of each set.

    Args:
        gallery: What is shown.
        data: Data directory of a set, {set}.
        texts: Pattern of the hypotheses; of a system's several seeds the first is shown.
        normaliser: Name of the text normaliser, or several, the last of which counts.
        name: What a system is called, with the pattern's placeholders.
        only: What of the placeholders the run's `only` names.
    """
    drawing = gallery.drawing
    asked = only_seeds(drawing.only)
    order = {key: place for place, key in enumerate(asked)}
    normalise, _ = normalisers.normaliser((drawing.text(normaliser).split() or ["raw"])[-1])
    found: dict[str, dict[str, tuple[str, Path]]] = {}
    matched = drawing.found(texts)
    for fields, path in sorted(matched, key=lambda one: order.get(only.format(**one[0]), len(order))):
        key, seed = only.format(**fields), fields.get("seed", "")
        if not asked or int(seed or 0) in asked.get(key, ()):
            found.setdefault(fields["set"], {}).setdefault(name.format(**fields), (seed, path))
    for of_set, systems in found.items():
        folder = gallery.folder(data, of_set)
        if folder is None:
            continue
        said = {system: read_table(path) for system, (_, path) in systems.items()}
        utterances = read_data_dir(folder)
        # Those that the systems hear differently say the most.
        changed = [u for u in utterances if len({texts_of.get(u.id) for texts_of in said.values()}) > 1]
        there = {u.id for u in changed}
        chosen = (spread(changed) + spread([u for u in utterances if u.id not in there]))[:LISTED]
        references = normalisers.apply(normalise, [u.text for u in chosen])
        for system, (seed, _) in systems.items():
            heard = normalisers.apply(normalise, [said[system].get(u.id, "") for u in chosen])
            for utterance, reference, hypothesis in zip(chosen, references, heard):
                gallery.entry(of_set, utterance)["hypotheses"].append(
                    {"system": system, "seed": seed, **aligned(reference, hypothesis)}
                )


def aligned(reference: str, hypothesis: str) -> dict[str, Any]:
    """An alignment for the script: runs of words [reference, hypothesis], and the direction of the writing."""
    runs = [[" ".join(said), " ".join(heard)] for said, heard in segments(reference.split(), hypothesis.split())]
    return {"runs": runs, "direction": "rtl" if goes_right_to_left(reference + hypothesis) else "ltr"}


# Pictures and sound


def packed(values: np.ndarray, bits: int = 8) -> dict[str, Any]:
    """Values in [0, 1], (frames, bins), as whole numbers of 8 or 16 bits, deflated and in base 64."""
    whole = np.rint(np.clip(values, 0, 1) * (2**bits - 1)).astype(f"<u{bits // 8}")
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(whole).tobytes(), 9)).decode()
    return {"frames": values.shape[0], "bins": values.shape[1], "bits": bits, "data": data}


def level(values: np.ndarray, depth: float | None = None) -> dict[str, Any]:
    """A spectrogram: from its first percentile, or `depth` below its top, to its top."""
    low, high = np.percentile(values, (1, 99.8))
    low = high - depth if depth is not None else low
    return packed((values - low) / max(high - low, 1e-9))


def sound(name: str, note: str, samples: np.ndarray, loudest: float = 1.0) -> dict[str, str]:
    """A player: samples (samples,) at 16 kHz as MP3, which every browser plays."""
    encoded = BytesIO()
    peak = max(loudest, float(np.abs(samples).max(initial=0)))
    soundfile.write(encoded, samples / peak, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.6)
    return {
        "name": name,
        "note": note,
        "source": f"data:audio/mpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}",
    }


def decibels_of(signal: np.ndarray, size: int = SIZE, hop: int = SHIFT, floor: float = 1e-10) -> np.ndarray:
    """Levels in dB of the points of a spectrogram (frames, bins), from a signal (samples,)."""
    power = stft(torch.from_numpy(np.ascontiguousarray(signal))[None], size, hop)[0].abs().square().numpy()
    return 10 * np.log10(np.maximum(power, floor))


def mask_of(
    label: str, system: System, masker: Masker, key: str, keep: np.ndarray, maps: Sequence[str]
) -> dict[str, Any]:
    """A mask for the script: what it is recomputed from, or else the mask itself.

    Recomputed it is from the map at this place in `maps`, the policy's settings and the state of numpy's PCG64.
    """
    if system.kind not in RECOMPUTED or system.borrowed or system.map not in maps:
        return {"name": label, "policy": system.kind, "hidden": packed(~keep)}
    state = generator(masker.seed, key, 0, system.policy.stream).bit_generator.state["state"]
    known = {"name": label, "policy": system.kind, "settings": asdict(system.policy), "map": maps.index(system.map)}
    return known | {"state": [str(state["state"]), str(state["inc"])]}


@dataclass
class MaskedFeatures:
    """Log-mel spectrograms with the maps and masks of the accent recipes, and the sound without the masked points."""

    folders: Mapping[str, Path]
    mapped: Collection[str]
    features: Mapping[str, Path]
    maps: Path
    systems: Mapping[str, System]
    seed: int
    _opened: dict[str, tuple[Archive, dict[str, Masker], dict[str, Mapping[str, SaliencyMap]]]] = field(
        default_factory=dict
    )

    def paint(self, name: str, utterance: Utterance) -> dict[str, Any] | None:
        archive, maskers, maps = self._open(name)
        if utterance.id not in archive or not all(utterance.id in of_method for of_method in maps.values()):
            return None
        logmel = archive[utterance.id]
        signal = read_utterance(utterance, RATE)
        masks, sounds = [], [sound("original", "", signal)]
        for label, masker in maskers.items():
            keep = masker.keep(utterance.id, *logmel.shape, epoch=0)
            masks.append(mask_of(label, self.systems[label], masker, utterance.id, keep, list(maps)))
            note = "masked points silenced in the short-time Fourier transform, phases kept"
            sounds.append(sound(f"masked by {label}", note, masked_audio(signal, keep)))
        return {
            "seconds": len(logmel) * FRAME_SHIFT, "scale": "mel", "level": level(logmel),
            "masks": masks, "sounds": sounds,
            "maps": [{"name": key, **packed(of[utterance.id].unit(*logmel.shape), 16)} for key, of in maps.items()],
        }  # fmt: skip

    def _open(self, name: str) -> tuple[Archive, dict[str, Masker], dict[str, Mapping[str, SaliencyMap]]]:
        if name not in self._opened:
            frames, _ = set_sizes(self.features[name].parent)
            maskers, maps = {}, {}
            for label, system in self.systems.items() if name in self.mapped else ():
                opened, _ = open_maps(self.maps, name, system)
                maskers[label] = Masker(system, self.seed, opened, frames)
                maps |= {system.map: opened[system.map]} if system.map and not system.borrowed else {}
            self._opened[name] = Archive(self.features[name]), maskers, maps
        return self._opened[name]


@UTTERANCES.register("masked-features")
def masked_features(
    gallery: Gallery, data: str, features: str, maps: str, systems: str, masked: str, classifier: str, seed: str
) -> None:
    """Show log-mel spectrograms with maps, the masks of every system, and the sound that these leave.

    Args:
        gallery: What is shown.
        data: Data directory of a set, {set}.
        features: Its feats.scp.
        maps: Folder of the maps; of a set without maps the spectrograms and their sound are shown.
        systems: The recipe's systems.yaml.
        masked: Names of the systems that mask, separated by spaces.
        classifier: The classifier whose maps a system takes that names none.
        seed: Random seed of the masks.
    """
    drawing = gallery.drawing
    path = drawing.text(systems)
    if not path:
        return
    asked = asked_systems(Path(path), drawing.text(masked), drawing.text(classifier))
    needed = {method for system in asked.values() for method in system.methods}
    folder = Path(drawing.text(maps))
    archives = {fields["set"]: path for fields, path in drawing.found(features)}
    listed = {name for name, _ in gallery.entries}
    mapped = {name for name in archives if all((folder / one / name / "saliency.scp").exists() for one in needed)}
    mapped = mapped if needed else listed
    shown = listed | mapped
    folders = {name: found for name in archives if name in shown and (found := gallery.folder(data, name))}
    gallery.painters.append(MaskedFeatures(folders, mapped, archives, folder, asked, int(drawing.text(seed) or 1)))


@dataclass
class NoiseMasks:
    """Spectrograms of AN4 under their noise masks, and the noisy sound that stage 5 wrote."""

    folders: Mapping[str, Path]
    mapped: Collection[str]
    masks: Path
    hop: int
    audio: Mapping[str, Path]

    def paint(self, name: str, utterance: Utterance) -> dict[str, Any] | None:
        archive = Archive(self.masks)
        if utterance.id not in archive:
            return None
        mask = archive[utterance.id]
        # On the scale of 16-bit samples, below which there is nothing to hear.
        signal = read_utterance(utterance, RATE)
        levels = decibels_of(np.float32(32768) * signal, 2 * (mask.shape[1] - 1), self.hop, 1.0)
        if len(levels) != len(mask):
            raise stale(self.masks, f"has {len(mask)} frames of {utterance.id}, whose spectrogram has {len(levels)}")
        sounds = [sound("original", "", signal, max(1e-6, float(np.abs(signal).max())) / 0.9)]
        for label, folder in self.audio.items():
            if (file := folder / f"{utterance.id}.flac").exists():
                sounds.append(sound(label, "as stage 5 mixed it", read_audio(file, RATE)))
        return noise_picture(len(mask) * self.hop / RATE, level(levels), mask, sounds)


def noise_picture(
    seconds: float, levels: dict, mask: np.ndarray, sounds: list, above: float = THRESHOLD
) -> dict[str, Any]:
    """A spectrogram whose mask (frames, bins) says where noise is added: at the points above a threshold."""
    shown = {"name": "points that count as noise", "policy": "threshold", "map": 0, "settings": {"above": above}}
    return {
        "seconds": seconds, "scale": "linear", "level": levels, "maps": [{"name": "noise mask M", **packed(mask)}],
        "masks": [shown],
        "sounds": sounds,
    }  # fmt: skip


@UTTERANCES.register("noise-masks")
def noise_masks(gallery: Gallery, data: str, masks: str, settings: str, audio: Mapping[str, str]) -> None:
    """Show spectrograms under their noise masks, Figure 3 of Salami Kavaki and Mandel (2020).

    Args:
        gallery: What is shown.
        data: Data directory of the set.
        masks: Pattern of its mask.scp files, the first of which is shown.
        settings: Pattern of the estimator's config.json, which holds the hop of the masks.
        audio: Folders of the noisy sound, by what it is called.
    """
    drawing = gallery.drawing
    folder, scp, config = map(drawing.path, (data, masks, settings))
    if folder is not None and scp is not None and config is not None:
        sounds = {name: found for name, pattern in audio.items() if (found := drawing.path(pattern)) is not None}
        gallery.painters.append(NoiseMasks({folder.name: folder}, {folder.name}, scp, read_json(config)["hop"], sounds))


@dataclass
class NoiseThroughMasks:
    """Spectrograms of keywords under their noise masks, and their sound with noise through the rolled mask."""

    folders: Mapping[str, Path]
    mapped: Collection[str]
    packed: Path
    noise: Path
    masks: Path
    snr: float
    shift: int

    def __post_init__(self) -> None:
        self._source, self._pieces, self._archive = (
            read_packed(self.packed),
            read_packed(self.noise),
            Archive(self.masks),
        )

    def paint(self, name: str, utterance: Utterance) -> dict[str, Any] | None:
        if utterance.id not in self._archive or utterance.id not in self._source.ids:
            return None
        mask = self._archive[utterance.id]
        made = mixture(utterance.id, mask, self._source, self._pieces, self.snr, self.shift)
        loudest = max(float(np.abs(waveform).max()) for waveform in made.sounds.values())
        names = {
            "clean": ("original", ""),
            "importance": ("noise through the mask", f"{made.noise} at {self.snr:g} dB, the mask rolled {made.moved}"),
            "everywhere": ("noise everywhere", f"{made.noise} at {self.snr:g} dB"),
        }
        sounds = [sound(*names[key], samples, loudest) for key, samples in made.sounds.items()]
        return noise_picture(len(mask) * HOP / RATE, level(made.levels["clean"].T, DEPTH), mask, sounds)


@UTTERANCES.register("noise-through-masks")
def noise_through_masks(
    gallery: Gallery, data: str, packed: str, noise: str, masks: str, snr: float = -12.5, shift: int = 30
) -> None:
    """Show keywords with noise through their masks, Figure 2 of Trinh et al. (2022).

    Args:
        gallery: What is shown.
        data: Data directory of the set.
        packed: Its packed signals.
        noise: Folder of a packed set of noise; each utterance gets a random piece.
        masks: Its mask.scp.
        snr: Signal-to-noise ratio in dB of the utterance and its noise before masking.
        shift: Masks are rolled by less than this many frames or bins.
    """
    folder, *places = [gallery.drawing.path(pattern) for pattern in (data, packed, noise, masks)]
    if folder is not None and None not in places:
        gallery.painters.append(NoiseThroughMasks({folder.name: folder}, {folder.name}, *places, snr, shift))


@dataclass
class WaveformMaps:
    """Spectrograms with the maps of wav2vec 2.0, of frames or of characters, and the sound without masked frames."""

    folders: Mapping[str, Path]
    mapped: Collection[str]
    maps: Mapping[str, Path]
    systems: Mapping[str, System]
    of: str
    seed: int

    def __post_init__(self) -> None:
        self._maps = {name: read_maps(path) for name, path in self.maps.items()}
        paths = {name: path.with_name("symbols") for name, path in self.maps.items()}
        self._symbols = {name: read_table(path) for name, path in paths.items() if path.exists()}

    def paint(self, name: str, utterance: Utterance) -> dict[str, Any] | None:
        signal = read_utterance(utterance, RATE)
        layers, masks, sounds = [], [], [sound("original", "", signal)]
        for label, archive in self._maps.items():
            if utterance.id not in archive:
                return None
            values = archive[utterance.id].values
            if label in self._symbols:
                names = self._symbols[label][utterance.id].split()
                if values.shape[1] != len(names):
                    raise stale(
                        self.maps[label], f"has {values.shape[1]} columns of {utterance.id} and {len(names)} symbols"
                    )
                layers.append(
                    {"name": label, "symbols": ["(space)" if n == "|" else n for n in names], **packed(values)}
                )
            else:
                layers.append({"name": label, **packed(archive[utterance.id].unit(*values.shape), 16)})
        names = [layer["name"].removesuffix(f", {self.of}") for layer in layers]
        for label, system in self.systems.items():
            opened = {method: self._maps.get(f"{method}, {self.of}", {}) for method in system.methods}
            if not all(utterance.id in maps for maps in opened.values()):
                continue
            masker = Masker(system, self.seed, opened)
            frames = next(layer["frames"] for layer in layers)
            keep = masker.keep(utterance.id, frames, 1, epoch=0)
            masks.append(mask_of(label, system, masker, utterance.id, keep, names))
            kept = np.repeat(keep[:, 0], STRIDE)[: len(signal)]
            kept = np.pad(kept, (0, len(signal) - len(kept)), mode="edge")
            sounds.append(sound(f"masked by {label}", "masked latent frames silenced in the waveform", signal * kept))
        return {
            "seconds": len(signal) / RATE, "scale": "linear", "level": level(decibels_of(signal), DEPTH),
            "maps": layers, "masks": masks, "sounds": sounds,
        }  # fmt: skip


@UTTERANCES.register("waveform-maps")
def waveform_maps(gallery: Gallery, data: str, maps: str, systems: str, masked: str, of: str, seed: str) -> None:
    """Show the maps of wav2vec 2.0 over spectrograms, or by character, and masks of latent frames.

    Args:
        gallery: What is shown.
        data: Data directory of the set.
        maps: Pattern of its saliency.scp files, with {method} and {model}; a table `symbols` stands beside those with a
            column for each character.
        systems: The recipe's systems.yaml.
        masked: Names of the systems that mask, separated by spaces.
        of: The model whose maps they mask by.
        seed: Random seed of the masks.
    """
    drawing = gallery.drawing
    folder = drawing.path(data)
    found = {f"{fields['method']}, {fields['model']}": path for fields, path in drawing.found(maps)}
    if folder is None or not found:
        return
    path = drawing.text(systems)
    asked = asked_systems(Path(path), drawing.text(masked)) if path else {}
    gallery.painters.append(
        WaveformMaps({folder.name: folder}, {folder.name}, found, asked, of, int(drawing.text(seed) or 1))
    )
