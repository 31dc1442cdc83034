"""One way to open, measure, decode and write audio of any format.

Plain files (WAV, FLAC, NIST sphere, AIFF, CAF and their relatives) are read by
libsndfile, everything else by FFmpeg's libraries, which PyAV brings along.
Headers are not believed where they need not be: encoders that write to a pipe
leave lengths open, and MP3 has none.
"""

import itertools
import logging
import re
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from mmap import ACCESS_READ, mmap
from operator import itemgetter
from os.path import exists, isfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from salience.errors import InputError
from salience.files import FULL, room_for, temporary_name

logger = logging.getLogger(__name__)

RATES = range(1000, 1_000_001)  # Hz; resampled from 1 Hz, a small file would fill the memory
TOLERANCE = 0.1
"""Seconds by which a segment may pass the end of its recording, and a recording may miss its promised length."""
BLOCK = 1 << 20  # samples that libsndfile decodes at once
JOINED = 1000  # FFmpeg's frames in a block; one is too little to work with

COMMANDS = "local/run_wav_commands.py writes a data directory with their output as audio files"
REMEDY = "fetch the file again, convert it, or leave it out"


class BadAudio(InputError):
    """An audio file that is missing, not audio, or damaged: `path` is the file, `reason` what is wrong with it."""

    def __init__(self, path: Path, reason: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{path} {reason}; {remedy}")
        self.path, self.reason = Path(path), reason


@dataclass(frozen=True)
class AudioInfo:
    """Length in seconds, rate in hertz, number of channels, and encoding (libsndfile's or FFmpeg's name for it)."""

    seconds: float
    rate: int
    channels: int
    encoding: str


def audio_info(path: Path) -> AudioInfo:
    """Measure a file, without decoding it where that is possible.

    The length is what decoding yields, to within one frame of the codec.  A
    file that is missing, is not audio, holds no samples or was cut off is a
    BadAudio error; a command or a device is an InputError.
    """
    with _opened(path) as source:
        info: AudioInfo = source.info()
    if info.rate not in RATES:
        raise BadAudio(path, f"has a rate of {info.rate} Hz, which no audio has")
    if info.seconds <= 0:
        raise BadAudio(path, "holds no samples")
    return info


def audio_duration(path: Path) -> float:
    """Length of a file in seconds; errors as in `audio_info`."""
    return audio_info(path).seconds


def read_audio(
    path: Path, rate: int | None, start: float | None = None, end: float | None = None, max_damaged: float = 0.0
) -> np.ndarray:
    """Decode a file, or the part of it between `start` and `end` seconds.

    Channels are averaged.  Other rates are resampled (soxr, high quality),
    block by block, also where the rate changes within the file; without a
    `rate` the file's own is kept.  A part holds the same samples as the whole
    file does there.

    Args:
        max_damaged: share of the packets that may be damaged; silence replaces those

    Returns:
        float32 samples in [-1, 1] of shape (samples,)

    Raises:
        BadAudio: the file is missing, not audio, damaged, cut off or without samples in that part
        InputError: the path is a command or a device
    """
    with _opened(path) as source:
        pieces, rate = _resampled(path, source.blocks(start or 0.0, end, max_damaged), rate)
    if not any(length for length, _ in pieces):
        to = "its end" if end is None else f"{end:.2f} s"
        part = "" if start is None and end is None else f" from {start or 0:.2f} s to {to}"
        raise BadAudio(path, f"holds no samples{part}")
    samples = np.ascontiguousarray(np.concatenate([piece for _, piece in pieces]), dtype=np.float32)
    if len(samples) == 0:
        raise BadAudio(path, f"is too short to be resampled to {rate} Hz", "leave it out")
    if not np.isfinite(samples).all():
        raise BadAudio(path, "holds samples that are not numbers")
    return samples


def _resampled(
    path: Path, blocks: Iterator[tuple[int, np.ndarray]], rate: int | None
) -> tuple[list[tuple[int, np.ndarray]], int | None]:
    """Blocks of one or several rates at `rate`, or at the first one's, each with its length before; and that rate."""
    pieces: list[tuple[int, np.ndarray]] = []
    for own, run in itertools.groupby(blocks, itemgetter(0)):
        if own not in RATES:
            raise BadAudio(path, f"has a rate of {own} Hz, which no audio has")
        rate = rate or own
        if own == rate:
            pieces += [(len(block), block) for _, block in run]
            continue
        stream = soxr.ResampleStream(own, rate, 1, dtype="float32")
        pieces += [(len(block), stream.resample_chunk(block)) for _, block in run]
        pieces.append((0, stream.resample_chunk(np.zeros(0, np.float32), last=True)))
    return pieces, rate


def write_audio(path: Path, samples: np.ndarray, rate: int, format: str | None = None, **options: Any) -> None:
    """Write an audio file as `soundfile.write` does, but whole or not at all; a disk-full error names the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, temporary = BytesIO(), temporary_name(path)
    soundfile.write(encoded, samples, rate, format=format or path.suffix[1:].upper(), **options)
    try:
        with room_for(path):
            temporary.write_bytes(encoded.getbuffer())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as 16-bit integers, rounded, never wrapped around."""
    return np.clip(np.rint(samples.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)


def change_speed(samples: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play faster (`factor` > 1) or slower, pitch included, as `sox speed` does."""
    return soxr.resample(samples, rate * factor, rate)


def limit_band(samples: np.ndarray, rate: int, bandwidth: float) -> np.ndarray:
    """Keep what any recording of this bandwidth (hertz, at most half the rate) has.

    Flat to 85 % of it, 100 dB down from 90 %.  A linear-phase filter (Kaiser's window), its delay taken out.  Copies at
    8 kHz differ above 90 % of 4 kHz, where the anti-alias filters of those who
    made them begin; none of that is left.
    """
    # Imported here: it takes longer than all else that those need who only read audio.
    from scipy.signal import firwin, kaiserord, oaconvolve

    taps, beta = kaiserord(100, 0.05 * bandwidth / (rate / 2))
    kernel = firwin(taps | 1, 0.875 * bandwidth, window=("kaiser", beta), fs=rate)
    return oaconvolve(samples, kernel.astype(np.float32), mode="same").astype(np.float32)


@contextmanager
def _opened(path: Path) -> Iterator["_Plain | _Coded"]:
    """The reader for a file; whatever a decoder says of the bytes is a BadAudio error."""
    path = Path(path)
    if str(path).rstrip().endswith("|"):
        raise InputError(f"{str(path)[:200]!r} is a command and not an audio file; {COMMANDS}")
    if not isfile(path):
        if exists(path):
            raise InputError(f"{path} is not a regular file; name an audio file")
        raise BadAudio(path, "does not exist", "check the corpus root and prepare the data again, or leave it out")
    try:
        with open(path, "rb") as handle:
            head = handle.read(4096)
            if not head:
                raise BadAudio(path, "is empty (0 bytes)")
            with closing(_Plain.of(path, handle, head) or _Coded(path, handle, head)) as source:
                yield source
    except (InputError, MemoryError, NameError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        words = " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
        raise BadAudio(path, f"cannot be decoded as audio ({words or type(error).__name__})") from None


# What libsndfile reads.


PLAIN = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff", b"riff", b"NIST", b"fLaC", b".snd", b"dns.")
"""The first four bytes of a file: WAV and its relatives, AIFF, CAF, W64, NIST sphere, FLAC, AU."""

SHORT = re.compile(r"^ *(?:data|Data Size|SSND|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""How libsndfile's log says that there are other bytes of samples, or of the whole, than the header promises."""

COMPRESSED = re.compile(rb"^sample_coding -s\d+ (\S*embedded\S*)", re.MULTILINE)
MALFORMED = 3  # libsndfile's number for a file whose parts do not fit together

SPH2PIPE = "convert it, for instance with sph2pipe -f wav IN.sph OUT.wav"


class _Plain:
    """A file of a format whose samples libsndfile finds by counting."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self.path, self._file = path, file

    @classmethod
    def of(cls, path: Path, handle: BinaryIO, head: bytes) -> "_Plain | None":
        """The reader, or None for what libsndfile does not know or cannot count."""
        if head[:4] not in PLAIN:
            return None
        if head.startswith(b"NIST") and (coding := COMPRESSED.search(head)):
            name = coding[1].decode("ascii", "replace")
            raise BadAudio(path, f"is compressed ({name}), which cannot be read", SPH2PIPE)
        size = handle.seek(0, 2)
        handle.seek(0)
        try:
            file = soundfile.SoundFile(_name(path) or handle)
        except soundfile.SoundFileError as error:
            if head.startswith(b"caff") and getattr(error, "code", None) == MALFORMED:
                raise BadAudio(path, "is cut off or damaged: it is not what its header promises") from None
            return None
        for promised, there in SHORT.findall(file.extra_info) or _sphere_sizes(head, size):
            if int(promised) > int(there) and not _is_open(int(promised)):
                raise BadAudio(path, f"is cut off: it has {there} of the {promised} bytes its header promises")
        # A stream's header tells no length; libsndfile then counts no samples, or as many as there could be.
        if file.frames == 0 or file.frames > 2**56 or file.subtype.startswith("MPEG"):
            file.close()
            return None
        return cls(path, file)

    def close(self) -> None:
        self._file.close()

    def info(self) -> AudioInfo:
        file = self._file
        frames = file.frames
        if not file.seekable():
            frames = sum(len(block) for _, block in self.blocks(0.0, None, 0.0))
        else:
            last = 0
            with suppress(soundfile.SoundFileError):
                file.seek(frames - 1)
                last = len(file.read(1))
            if not last:
                reason = f"the last of the {frames} samples its header promises cannot be read"
                raise BadAudio(self.path, f"is cut off or damaged: {reason}")
        return AudioInfo(frames / file.samplerate, file.samplerate, file.channels, file.subtype)

    def blocks(self, start: float, end: float | None, max_damaged: float) -> Iterator[tuple[int, np.ndarray]]:
        """Rate and mono samples, in blocks: all that a damaged header promises may not fit into memory."""
        file, rate = self._file, self._file.samplerate
        first, last = round(start * rate), file.frames if end is None else round(end * rate)
        if last > file.frames + TOLERANCE * rate:
            raise _past_end(self.path, file.frames / rate, end)
        last = min(last, file.frames)
        place = file.seek(min(first, file.frames)) if file.seekable() else 0
        size = max(1, BLOCK // file.channels)
        with suppress(soundfile.SoundFileError):
            while place < last and len(block := file.read(min(size, last - place), dtype="float32", always_2d=True)):
                yield rate, block[max(0, first - place) :].mean(axis=1)
                place += len(block)
        if place < last and file.seekable():
            reason = f"{place} of the {file.frames} samples its header promises can be read"
            raise BadAudio(self.path, f"is cut off or damaged: {reason}")


def _name(path: Path) -> str | None:
    """The path as libraries take it; None for one that is not UTF-8, which only Python can open."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return None
    return str(path)


def _is_open(length: int) -> bool:
    """Whether a length stands for "not known yet": nothing, or about the most that the field can hold.

    sox writes 0x7ffff000, arecord 0x80000000, others 0x7fffffff or 0xffffffff, less some bytes for heads.
    """
    return length <= 0 or length == 2**64 - 1 or abs(length - 2**31) <= 4096 or 0 <= 2**32 - length <= 4096


def _sphere_sizes(head: bytes, size: int) -> list[tuple[int, int]]:
    """The bytes that a sphere file promises and has, of which libsndfile says nothing; for other files nothing."""
    # libsndfile itself writes a sample_n_bytes that is a string.
    told = dict(re.findall(rb"^(\w+) -(?:i|s\d+) (\d+)", head, re.MULTILINE))
    sizes = [told.get(name) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    start = head[8:16].strip()
    if not head.startswith(b"NIST") or None in sizes or not start.isdigit():
        return []
    count, channels, width = (int(number) for number in sizes if number)
    # Some writers count the samples of all channels.
    whole = size == int(start) + count * width
    return [] if whole else [(int(start) + count * channels * width, size)]


# What FFmpeg reads.


MPEG_BITRATES = {
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by version (1, or 2 for the lower rates) and layer (ISO 11172-3, 13818-3)."""

RESERVOIR = 24
"""Packets of an MP3 decoded before the first that is kept: a part of one's data may lie in several before it."""

SAMPLES = {
    name + planar: kind
    for name, kind in {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}.items()
    for planar in ("", "p")
}
"""Kind of number by FFmpeg's name for a form of samples."""

MATROSKA = "matroska,webm"
KNOWS_LENGTH = ("mov,mp4,m4a,3gp,3g2,mj2", MATROSKA)
"""Containers whose header says how long a stream is."""


class _Coded:
    """A file of packets, read by FFmpeg's libraries: the first audio stream of a sound or film file."""

    def __init__(self, path: Path, handle: BinaryIO, head: bytes) -> None:
        self.path, self._handle = path, handle
        self._start = _behind_tags(handle, head)
        handle.seek(self._start)
        beginning = handle.read(256)
        self._begins_as_mp3 = MpegFrame.of(beginning) is not None
        # Xing's and Fraunhofer's tags say how many frames follow.
        self._has_count = self._begins_as_mp3 and bool(re.search(rb"Xing|Info|VBRI", beginning))
        self._links = _ogg_links(path, handle) if beginning.startswith(b"OggS") else []

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _containers(self) -> Iterator[Any]:
        """The file, opened; of a chained Ogg file, each of its parts."""
        import av

        if len(self._links) > 1:
            for start, stop in self._links:
                self._handle.seek(start)
                with av.open(BytesIO(self._handle.read(stop - start)), format="ogg") as container:
                    yield container
            return
        self._handle.seek(0)
        name = _name(self.path)
        options = {"protocol_whitelist": "file"}
        if self._begins_as_mp3:
            # Its first frames tell all there is to know; FFmpeg would read up to 5 MB of it.
            options |= {"probesize": "4096", "analyzeduration": "0"}
        form = "mp3" if self._begins_as_mp3 else None
        with av.open(self._handle if name is None else f"file:{name}", format=form, options=options) as container:
            if not container.streams.audio:
                raise BadAudio(self.path, "has no audio in it", "leave it out")
            yield container

    def info(self) -> AudioInfo:
        if self._begins_as_mp3 and not self._has_count:
            with mmap(self._handle.fileno(), 0, access=ACCESS_READ) as content:
                if (info := _plain_mpeg(content, self._start)) is not None:
                    return info
        parts = [(self._seconds(container), container.streams.audio[0]) for container in self._containers()]
        stream = parts[0][1]
        return AudioInfo(sum(seconds for seconds, _ in parts), stream.rate, stream.channels, stream.codec_context.name)

    def _seconds(self, container: Any) -> float:
        """The sum of the packets' lengths; an error where the end is missing."""
        import av

        stream = container.streams.audio[0]
        length = skipped = 0
        first = before = last = None
        for packet in container.demux(stream):
            if packet.size:  # an empty one comes last, to flush the decoder
                length += packet.duration or 0
                skipped += _skipped(packet, container)
                first, before, last = first or packet, last, packet
        if last is None:
            return 0.0
        if container.format.name == MATROSKA:
            # Its milliseconds say when a packet begins; their differences are rounded.
            length = (last.pts or 0) + (last.duration or 0) - (first.pts or 0)
        if _is_mpeg(stream):
            self._check_last(last.pos)
        else:
            try:
                for packet in filter(None, (before, last)):
                    packet.decode()
            except av.error.FFmpegError as error:
                raise BadAudio(self.path, f"is cut off: its last packet cannot be decoded ({error.strerror})") from None
        seconds = float(length * stream.time_base) - skipped / stream.rate
        self._check_promised(container, seconds)
        return seconds

    def _check_promised(self, container: Any, seconds: float) -> None:
        stream, promised = container.streams.audio[0], None
        if self._has_count or container.format.name in KNOWS_LENGTH:
            if stream.duration is not None:
                promised = float(stream.duration * stream.time_base)
            elif container.duration is not None and len(container.streams) == 1:
                promised = container.duration / 1e6
        if promised is not None and seconds < promised - TOLERANCE:
            raise BadAudio(self.path, f"is cut off: it holds {seconds:.2f} of the {promised:.2f} s its header promises")

    def _check_last(self, place: int) -> None:
        """FFmpeg decodes a part of an MPEG frame as if nothing were missing; `place` is where the last one begins."""
        self._handle.seek(place)
        frame, left = MpegFrame.of(self._handle.read(4)), self._handle.seek(0, 2) - place
        if frame is not None and left < frame.size:
            raise BadAudio(self.path, f"is cut off: its last frame has {left} of {frame.size} bytes")

    def blocks(self, start: float, end: float | None, max_damaged: float) -> Iterator[tuple[int, np.ndarray]]:
        """Rate and mono samples of the part."""
        # `place` counts samples at the present rate, which began at `origin` seconds.
        origin, place, rate = 0.0, 0, 0
        for new_rate, samples in self._decoded(start, max_damaged):
            if new_rate != rate:
                origin, place, rate = origin + (place / rate if rate else 0.0), 0, new_rate
            if isinstance(samples, int):
                place += samples
                continue
            first = max(0, round((start - origin) * rate) - place)
            last = len(samples) if end is None else min(len(samples), round((end - origin) * rate) - place)
            if last > first:
                yield rate, samples[first:last]
            place += len(samples)
            if end is not None and origin + place / rate >= end:
                return
        length = origin + (place / rate if rate else 0.0)
        if end is not None and length < end - TOLERANCE:
            raise _past_end(self.path, length, end)

    def _decoded(self, start: float, max_damaged: float) -> Iterator[tuple[int, "np.ndarray | int"]]:
        """Rate and mono samples in blocks, or the number of samples of what lies before `start` and is not decoded."""
        import av

        packets = damaged = 0
        said = ""
        for container in self._containers():
            stream = container.streams.audio[0]
            rate, is_mpeg = stream.rate, _is_mpeg(stream)
            # Packets that are counted and not decoded.  An MP3 needs no more than these to decode the next one exactly.
            behind: deque[Any] | None = deque(maxlen=RESERVOIR) if start > 0 and _is_mp3(stream) else None
            passed, seconds, last = 0, 0.0, 0
            held: list[np.ndarray] = []
            for packet in container.demux(stream):
                if (place := packet.pos) is not None:  # not the empty one that flushes the decoder
                    packets, last = packets + 1, place
                if behind is not None:
                    length = _samples(packet, container)
                    if place is not None and passed + length < round(start * rate):
                        passed += length
                        behind.append(packet)
                        continue
                    yield rate, passed
                    seconds = passed / rate
                    for earlier in behind:
                        with suppress(av.error.FFmpegError):  # what it needs lies still further behind
                            earlier.decode()
                    behind = None
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    if is_mpeg and MpegFrame.of(bytes(packet)) is None:
                        continue  # a tag between the frames or behind them
                    damaged, said = damaged + 1, str(error.strerror)
                    # At most a second: what is damaged may lie about its length.
                    like = held[-1] if held else np.zeros((1, 0), np.float32)
                    held.append(np.zeros((len(like), min(_samples(packet, container), rate)), like.dtype))
                    continue
                for frame in frames:
                    if frame.sample_rate != rate or len(held) == JOINED:
                        for block in _blocks(held):
                            seconds += len(block) / rate
                            yield rate, block
                        rate, held = frame.sample_rate, []
                    held.append(_channels(frame))
            for block in _blocks(held):
                seconds += len(block) / rate
                yield rate, block
            if not max_damaged:
                self._check_promised(container, seconds)
                if is_mpeg:
                    self._check_last(last)
        share = f"{damaged} of {packets} packets"
        if damaged > max_damaged * packets:
            raise BadAudio(self.path, f"is damaged or cut off: {share} cannot be decoded ({said})")
        if damaged:
            logger.warning("%s: silence replaces %s, which are damaged (%s)", self.path, share, said)


def _channels(frame: Any) -> np.ndarray:
    """A frame's samples (channels, samples), in the frame's own memory, which is faster than PyAV's `to_ndarray`."""
    kind, count = SAMPLES[frame.format.name], frame.samples
    planes = frame.planes
    if len(planes) == 1:
        channels = frame.layout.nb_channels
        return np.frombuffer(planes[0], kind, count * channels).reshape(count, channels).T
    return np.stack([np.frombuffer(plane, kind, count) for plane in planes])


def _blocks(frames: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames of (channels, samples), joined to mono blocks (samples,); integers are scaled to [-1, 1]."""
    for _, alike in itertools.groupby(frames, key=len):
        values = np.concatenate(list(alike), axis=1)
        if values.dtype == np.uint8:
            values = values.astype(np.float32) / 128 - 1
        elif np.issubdtype(values.dtype, np.integer):
            values = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
        yield values[0] if len(values) == 1 else values.mean(axis=0, dtype=np.float32)


def _is_mpeg(stream: Any) -> bool:
    return _is_mp3(stream) or stream.codec_context.name in ("mp2", "mp2float")


def _is_mp3(stream: Any) -> bool:
    return stream.codec_context.name in ("mp3", "mp3float")


def _samples(packet: Any, container: Any) -> int:
    """Samples that a packet decodes to."""
    seconds = (packet.duration or 0) * packet.stream.time_base if packet.size else 0
    return max(0, round(seconds * packet.stream.rate) - _skipped(packet, container))


def _skipped(packet: Any, container: Any) -> int:
    """Samples of a packet that are left out: at its start what fills the decoder, at its end what fills the packet."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    start, end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    # FFmpeg has already shortened the last packet of an Ogg file.
    return int(start if container.format.name == "ogg" else start + end)


class MpegFrame(NamedTuple):
    """The four-byte header of a frame of MPEG audio, layer 2 or 3: size in bytes, rate, samples, channels, layer."""

    size: int
    rate: int
    samples: int
    channels: int
    layer: int

    @classmethod
    @lru_cache(maxsize=1024)
    def _of(cls, head: bytes) -> "MpegFrame | None":
        version = {0: 4, 2: 2, 3: 1}.get(head[1] >> 3 & 3)  # by how much its rates are lower
        layer = {1: 3, 2: 2}.get(head[1] >> 1 & 3)
        bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
        if version is None or layer is None or rate == 3 or not 0 < bitrate < 15:
            return None
        hertz = (44100, 48000, 32000)[rate] // version
        samples = 576 if layer == 3 and version > 1 else 1152
        size = samples // 8 * 1000 * MPEG_BITRATES[min(version, 2), layer][bitrate - 1] // hertz + (head[2] >> 1 & 1)
        return cls(size, hertz, samples, 1 if head[3] >> 6 == 3 else 2, layer)

    @classmethod
    def of(cls, data: bytes | mmap, place: int = 0) -> "MpegFrame | None":
        """The frame that begins at a place; None where none does."""
        head = data[place : place + 4]
        return cls._of(head) if len(head) == 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else None


def _plain_mpeg(data: mmap, start: int) -> AudioInfo | None:
    """Measure what is nothing but whole frames of one form, as FFmpeg and lame write them to a pipe; None for all else.

    Several times as fast as having FFmpeg read the packets, and what
    Common Voice's clips are.
    """
    first = frame = MpegFrame.of(data, start)
    place, count = start, 0
    while frame is not None and frame[1:] == first[1:]:
        place, count = place + frame.size, count + 1
        frame = MpegFrame.of(data, place)
    if first is None or place != len(data):
        return None
    return AudioInfo(count * first.samples / first.rate, first.rate, first.channels, f"mp{first.layer}float")


def _behind_tags(handle: BinaryIO, head: bytes) -> int:
    """Where a file begins behind its ID3v2 tags."""
    place = 0
    while len(head) >= 10 and head.startswith(b"ID3"):
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        place += 10 + size + (10 if head[5] & 0x10 else 0)
        handle.seek(place)
        head = handle.read(10)
    return place


def _ogg_links(path: Path, handle: BinaryIO) -> list[tuple[int, int]]:
    """Start and end of each part of an Ogg file, which may be chained (RFC 3533); a cut-off last page is an error."""
    size = handle.seek(0, 2)
    starts: list[int] = []
    place, was_first = 0, False
    while place + 27 <= size:
        handle.seek(place)
        head = handle.read(27 + 255)
        if not head.startswith(b"OggS"):
            break  # FFmpeg finds the next page, or says that there is none
        is_first = bool(head[5] & 2)
        if is_first and not was_first:
            starts.append(place)
        was_first = is_first
        place += 27 + head[26] + sum(head[27 : 27 + head[26]])
    if place != size and (place > size or size - place < 27):
        needed = max(place, size + 1)
        raise BadAudio(path, f"is cut off: it has {size} of the {needed} bytes that its last page ends with")
    return list(itertools.pairwise([*starts, size]))


def _past_end(path: Path, length: float, end: float | None) -> BadAudio:
    reason = f"ends at {length:.2f} s, before the segment's end at {end:.2f} s"
    return BadAudio(path, reason, "fetch the recording again or correct segments")
