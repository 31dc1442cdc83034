"""Audio as other programs write it: every format has the right length and samples, and a file that was cut off is told.

The encoders are not ours: FFmpeg's libraries (PyAV) on a pipe, sox, lame, opusenc and oggenc.  Heads that name no
length, or a wrong one, are written byte by byte, as arecord and others do.
"""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from io import BytesIO, RawIOBase
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from corpora_helpers import real_data

from salience.audio import BadAudio, audio_duration, audio_info, read_audio
from salience.errors import InputError

SECONDS = 2.5


def sweep(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """A tone that rises from 200 to 1,200 Hz: every part of it sounds different.  Float64 (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * (200 * time + 500 * time**2 / seconds))


class Pipe(RawIOBase):
    """What is written to it comes out in order; nothing can go back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += data
        return len(data)


def ffmpeg(
    form: str,
    codec: str,
    rate: int,
    *,
    layout: str = "mono",
    pipe: bool = True,
    seconds: float = SECONDS,
    **options: str,
) -> Callable[[Path], bytes]:
    """An encoder of FFmpeg's, with options of stream and muxer; on a pipe unless it is said otherwise."""

    def encode(folder: Path) -> bytes:
        muxer = {name: value for name, value in options.items() if name in ("write_xing", "movflags", "rf64")}
        target = Pipe() if pipe else folder / "encoded"
        with av.open(target if pipe else str(target), "w", format=form, options=muxer) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            if "b" in options:
                stream.bit_rate = int(options["b"])
            if "q" in options:
                stream.options = {"q": options["q"], "flags": "+qscale", "global_quality": str(118 * int(options["q"]))}
            channels = stream.codec_context.layout.nb_channels
            wanted = stream.codec_context.format.name
            sound = np.tile(sweep(rate, seconds).astype(np.float32), (channels, 1))
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
            frame.sample_rate = rate
            resampler = av.AudioResampler(wanted, layout, rate, frame_size=stream.codec_context.frame_size or None)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        return bytes(target.content) if isinstance(target, Pipe) else target.read_bytes()

    return encode


def program(*words: str, package: str, rate: int = 44100, stdin: bool = False) -> Callable[[Path], bytes]:
    """A program that reads IN, a WAV file, and writes OUT, or standard output where there is no OUT."""

    def encode(folder: Path) -> bytes:
        if shutil.which(words[0]) is None:
            pytest.skip(f"needs the Debian package {package}")
        soundfile.write(folder / "in.wav", sweep(rate), rate)
        places = {"IN": str(folder / "in.wav"), "OUT": str(folder / "out")}
        piped = subprocess.run([*(places.get(word, word) for word in words)], stdout=subprocess.PIPE, check=True)
        return (folder / "out").read_bytes() if "OUT" in words else piped.stdout

    return encode


def sox(*options: str, rate: int = 44100) -> Callable[[Path], bytes]:
    """sox with options of the output, on a pipe."""
    return program("sox", "IN", *options, "-", package="sox", rate=rate)


def lame(*options: str, rate: int = 44100) -> Callable[[Path], bytes]:
    return program("lame", "--quiet", *options, "IN", "-", package="lame", rate=rate)


def libsndfile(form: str, subtype: str, rate: int = 16000, channels: int = 1) -> Callable[[Path], bytes]:
    """For what only libsndfile writes."""

    def encode(folder: Path) -> bytes:
        target = BytesIO()
        soundfile.write(target, np.tile(sweep(rate)[:, None], channels), rate, format=form, subtype=subtype)
        return target.getvalue()

    return encode


def wav(
    size: int | None = None,
    data_size: int | None = None,
    behind: bytes = b"",
    bits: int = 16,
    rate: int = 16000,
    off: int = 0,
) -> Callable[[Path], bytes]:
    """A WAV file written byte by byte, with these sizes of file and data in its head."""

    def encode(folder: Path) -> bytes:
        sound = sweep(rate)[: -1 if bits == 8 else None]  # an odd number of bytes
        values = np.round(128 + 127 * sound).astype(np.uint8) if bits == 8 else np.round(32767 * sound).astype("<i2")
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * bits // 8, bits // 8, bits)
        body = values.tobytes()
        chunk = b"data" + struct.pack("<I", len(body) if data_size is None else data_size) + body + behind
        whole = 4 + len(form) + len(chunk) + off
        return b"RIFF" + struct.pack("<I", whole if size is None else size) + b"WAVE" + form + chunk

    return encode


def id3(size: int) -> bytes:
    """An ID3v2 tag with a picture of so many bytes."""
    picture = b"\0image/png\0\3\0" + bytes(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
    frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    return b"ID3\3\0\0" + bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame


def ape() -> bytes:
    """An APEv2 tag with head and foot."""
    item = struct.pack("<II", 5, 0) + b"Title\0" + b"Hello"
    edge = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0) + bytes(8)
    return edge + item + edge


def around(encode: Callable[[Path], bytes], before: bytes = b"", behind: bytes = b"") -> Callable[[Path], bytes]:
    return lambda folder: before + encode(folder) + behind


def joined(*encoders: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    """Files one behind the other, as `cat` does."""
    return lambda folder: b"".join(encode(folder) for encode in encoders)


def sphere_of_both(folder: Path) -> bytes:
    """A sphere file whose sample_count counts the samples of both channels."""
    content = libsndfile("NIST", "PCM_16", channels=2)(folder)
    count = round(SECONDS * 16000)
    return content.replace(b"sample_count -i %d" % count, b"sample_count -i %d" % (2 * count), 1)


def mp3(bitrate: int, rate: int, **options: str) -> Callable[[Path], bytes]:
    """As Common Voice makes them: FFmpeg on a pipe, where there is no going back to write a Xing frame."""
    return ffmpeg("mp3", "libmp3lame", rate, b=str(1000 * bitrate), **options)


PIPED = mp3(48, 32000)
VORBIS = program("oggenc", "-Q", "IN", "-o", "OUT", package="vorbis-tools")
OPUS = program("opusenc", "--quiet", "IN", "OUT", package="opus-tools")

ODD: dict[str, tuple[Callable[[Path], bytes], float, str]] = {
    # name: how it is made, seconds of a frame of its codec, and how a cut-off one is told ("" where nothing can tell)
    **{
        f"mp3 {b} kb/s {r} Hz": (mp3(b, r), 1152 / r, "last frame")
        for b, r in ((32, 22050), (48, 32000), (64, 44100), (128, 48000))
    },
    "mp3 vbr without Xing": (lame("-V5", "-t"), 0.0261, "last frame"),
    "mp3 vbr with Xing": (
        program("lame", "--quiet", "-V5", "IN", "OUT", package="lame"),
        0.0261,
        "last frame|promises",
    ),
    "mp3 picture": (around(PIPED, id3(5000)), 0.036, "last frame"),
    "mp3 two tags": (around(PIPED, id3(50) + id3(500)), 0.036, "last frame"),
    "mp3 tag before": (around(PIPED, ape()), 0.036, "last frame"),
    "mp3 tags behind": (around(PIPED, b"", ape() + b"TAG" + bytes(125)), 0.036, ""),
    "mp3 zeros behind its tag": (around(PIPED, id3(10) + bytes(700)), 0.036, "last frame"),
    "mp3 layer 2": (ffmpeg("mp2", "mp2", 48000, b="64000"), 0.024, "last frame"),
    "mp3 in wav": (ffmpeg("wav", "libmp3lame", 44100, b="64000", pipe=False), 0.0261, "bytes its header promises"),
    "wav sox pipe": (sox("-t", "wav"), 0, ""),
    "wav sox pipe 24": (sox("-b", "24", "-t", "wav"), 0, ""),
    "wav arecord": (wav(0x80000024, 0x80000000), 0, ""),
    "wav 7fffffff": (wav(0x7FFFFFFF, 0x7FFFFFFF), 0, ""),
    "wav ffffffff": (wav(0xFFFFFFFF, 0xFFFFFFFF), 0, ""),
    "wav zero": (wav(0, 0), 0, ""),
    "wav FFmpeg pipe": (ffmpeg("wav", "pcm_s16le", 22050), 0, ""),
    "wav odd data": (wav(bits=8), 0, "bytes its header promises"),
    "wav odd data, chunk behind": (wav(bits=8, behind=b"LIST\4\0\0\0INFO"), 0, ""),
    "wav size 3 too large": (wav(off=3), 0, "bytes its header promises"),
    "wav size 6 too small": (wav(off=-6), 0, "bytes its header promises"),
    **{
        f"wav sox {' '.join(options)}": (sox(*options, "-t", "wav"), 0, "")
        for options in (
            ("-b", "8", "-e", "unsigned"),
            ("-b", "32"),
            ("-e", "float", "-b", "32"),
            ("-e", "float", "-b", "64"),
            ("-c", "6"),
            ("-e", "a-law"),
            ("-e", "u-law"),
            ("-b", "24", "-c", "2"),
        )
    },
    "wav gsm": (
        program("sox", "IN", "-t", "wav", "-r", "8000", "-e", "gsm-full-rate", "OUT", package="sox"),
        0.04,
        "promises",
    ),
    "wav ms adpcm": (program("sox", "IN", "-t", "wav", "-e", "ms-adpcm", "OUT", package="sox"), 0.05, "promises"),
    "wav g721": (libsndfile("WAV", "G721_32", 8000), 0.015, "promises"),
    "wav extensible": (libsndfile("WAVEX", "PCM_24", channels=3), 0, "promises"),
    "au sox pipe": (sox("-t", "au"), 0, ""),
    "rf64": (libsndfile("RF64", "PCM_16"), 0, "promises"),
    "rf64 FFmpeg": (ffmpeg("wav", "pcm_s16le", 22050, pipe=False, rf64="always"), 0, "promises"),
    "w64": (program("sox", "IN", "-t", "w64", "OUT", package="sox"), 0, "promises"),
    "aiff": (program("sox", "IN", "-t", "aiff", "OUT", package="sox"), 0, "promises"),
    "caf": (program("sox", "IN", "-t", "caf", "OUT", package="sox"), 0, "promises"),
    "flac FFmpeg pipe": (ffmpeg("flac", "flac", 22050), 0, "last packet|packets cannot be decoded"),
    "flac sox pipe": (sox("-t", "flac"), 0, "cut off or damaged|last packet"),
    "flac id3": (
        around(ffmpeg("flac", "flac", 22050, pipe=False), id3(100)),
        0,
        "last packet|packets cannot be decoded",
    ),
    "ogg vorbis": (VORBIS, 0.0233, "last page"),
    "ogg vorbis chained": (joined(VORBIS, VORBIS), 0.0466, "last page"),
    "ogg opus": (OPUS, 0.02, "last page"),
    "ogg opus chained": (joined(OPUS, OPUS), 0.04, "last page"),
    "ogg opus FFmpeg pipe": (ffmpeg("ogg", "libopus", 48000), 0.02, "last page"),
    "m4a": (ffmpeg("mp4", "aac", 44100, pipe=False), 0.0233, "cannot be decoded"),
    "m4a from a streamer": (
        ffmpeg("mp4", "aac", 44100, pipe=False, movflags="faststart"),
        0.0233,
        "last packet|promises|packets",
    ),
    "aac": (ffmpeg("adts", "aac", 44100), 0.0233, "last packet|packets cannot be decoded"),
    "webm": (ffmpeg("webm", "libopus", 48000, pipe=False), 0.02, "its header promises"),
    "webm pipe": (ffmpeg("webm", "libopus", 48000), 0.02, ""),
    "mka": (
        ffmpeg("matroska", "aac", 44100, layout="stereo", pipe=False),
        0.0233,
        "last packet|its header promises|packets",
    ),
    **{
        f"sphere {kind}": (libsndfile("NIST", kind, 8000), 0, "promises")
        for kind in ("PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
    },
    "sphere of both": (sphere_of_both, 0, "promises"),
}


@cache
def encoded(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return ODD[name][0](Path(folder))


def written(folder: Path, name: str) -> Path:
    path = folder / "odd.bin"
    path.write_bytes(encoded(name))
    return path


@pytest.mark.parametrize("name", ODD)
def test_length_and_samples_are_those_of_the_sound(tmp_path: Path, name: str) -> None:
    path, frame = written(tmp_path, name), ODD[name][1]
    info, found = audio_info(path), read_audio(path, None)
    assert found.dtype == np.float32 and audio_duration(path) == info.seconds
    assert abs(len(found) / info.rate - info.seconds) <= frame + 1e-9
    length = SECONDS * (2 if "chained" in name else 1)
    # An encoder may put up to two frames of silence before the sound, and one behind it.
    assert -1.5 / info.rate <= len(found) / info.rate - length <= 3.1 * frame + 1.5 / info.rate
    wanted = sweep(info.rate)
    early = round((len(found) / info.rate - length) * info.rate) + round(frame * info.rate) + 2
    part = wanted[2000:-2000]
    # Where the sound lies in what was decoded: at the best match.
    shifts = range(-2, min(early, len(found) - len(part) - 2000) + 1)
    scores = [float(np.dot(found[2000 + shift : 2000 + shift + len(part)], part)) for shift in shifts]
    shift = int(np.argmax(scores)) - 2
    kept = found[2000 + shift : 2000 + shift + len(part)]
    is_coarse = frame or any(word in name.lower() for word in ("-b 8", "odd", "law"))
    assert np.sqrt(np.mean((kept - part) ** 2)) < (0.03 if is_coarse else 1e-4)


@pytest.mark.parametrize("name", ODD)
def test_a_part_has_the_samples_of_the_whole(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    rate, whole = audio_info(path).rate, read_audio(path, None)
    for start, end in ((0.0, 0.3), (0.61, 1.37), (1.9, 2.4), (2.1, None)):
        stop = None if end is None else round(end * rate)
        np.testing.assert_array_equal(read_audio(path, None, start, end), whole[round(start * rate) : stop])


@pytest.mark.parametrize("name", [name for name, (_, _, told) in ODD.items() if told])
@pytest.mark.parametrize("read", [audio_duration, lambda path: read_audio(path, 16000)], ids=["duration", "samples"])
def test_a_cut_off_file_is_told(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    path = written(tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10 + 7])
    with pytest.raises(
        BadAudio, match=f"({ODD[name][2]}).*; fetch the file again, convert it, or leave it out"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value) and caught.value.path == path


def test_a_vbr_mp3_without_xing_is_not_494_frames(tmp_path: Path) -> None:
    """libsndfile takes its first frame's bitrate for that of all."""
    if shutil.which("lame") is None:
        pytest.skip("needs the Debian package lame")
    random = np.random.default_rng(1)
    sound = np.concatenate([np.zeros(8 * 44100), 0.2 * random.standard_normal(12 * 44100)])
    soundfile.write(tmp_path / "in.wav", sound, 44100)
    subprocess.run(["lame", "--quiet", "-V2", "-t", tmp_path / "in.wav", tmp_path / "a.mp3"], check=True)
    assert len(read_audio(tmp_path / "a.mp3", 16000)) / 160 >= 2000
    assert audio_duration(tmp_path / "a.mp3") == pytest.approx(20, abs=0.08)


def test_joined_mp3s_of_two_rates_keep_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(64, 44100)(tmp_path) + mp3(32, 22050)(tmp_path))
    assert audio_duration(path) == pytest.approx(2 * SECONDS, abs=0.2)
    found = read_audio(path, 16000)
    assert len(found) / 16000 == pytest.approx(2 * SECONDS, abs=0.2)
    for middle in (1.0, SECONDS + 1.1):
        part = found[round(16000 * middle) :][:4000]
        assert 0.2 < np.sqrt(np.mean(part**2)) < 0.35


def test_a_chained_ogg_of_two_rates_keeps_both_parts(tmp_path: Path) -> None:
    if shutil.which("oggenc") is None:
        pytest.skip("needs the Debian package vorbis-tools")
    low = program("oggenc", "-Q", "IN", "-o", "OUT", package="vorbis-tools", rate=22050)
    path = tmp_path / "a.ogg"
    path.write_bytes(VORBIS(tmp_path) + low(tmp_path))
    assert audio_duration(path) == pytest.approx(2 * SECONDS, abs=0.05)
    # FFmpeg leaves out the first overlap of the second part once more at its end.
    assert len(read_audio(path, 16000)) == pytest.approx(2 * SECONDS * 16000, abs=256)


def test_shortened_sphere_names_the_conversion(tmp_path: Path) -> None:
    head = "NIST_1A\n   1024\nsample_count -i 40000\nsample_n_bytes -i 2\nchannel_count -i 1\nsample_rate -i 16000\n"
    head += "sample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    (tmp_path / "a.sph").write_bytes(head.encode().ljust(1024) + b"ajkg" + bytes(900))
    for read in (audio_duration, lambda path: read_audio(path, 16000)):
        with pytest.raises(BadAudio, match="is compressed .*embedded-shorten.*convert it, for instance with sph2pipe"):
            read(tmp_path / "a.sph")


def test_a_part_that_begins_behind_the_end_is_refused(tmp_path: Path) -> None:
    for name in ("mp3 48 kb/s 32000 Hz", "wav zero", "ogg opus FFmpeg pipe"):
        path = written(tmp_path, name)
        with pytest.raises(BadAudio, match="holds no samples from 3.00 s to its end"):
            read_audio(path, 16000, 3.0)
        with pytest.raises(BadAudio, match=r"ends at 2\.5\d s, before the segment's end at 4.00 s"):
            read_audio(path, 16000, 3.0, 4.0)


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    """FFmpeg reads lists of other files, also of the network."""
    (tmp_path / "b.mp3").write_bytes(PIPED(tmp_path))
    (tmp_path / "a.mp3").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/b.mp3'\n")
    (tmp_path / "c.mp3").write_text("#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:9/b.mp3\n#EXT-X-ENDLIST\n")
    for name in ("a.mp3", "c.mp3"):
        with pytest.raises(InputError):
            read_audio(tmp_path / name, 16000)


def test_a_name_with_a_colon_and_one_that_is_not_utf_8(tmp_path: Path) -> None:
    content = PIPED(tmp_path)
    for name in ("concat:a|b", "http:", b"caf\xe9.mp3".decode("utf-8", "surrogateescape")):
        (tmp_path / name).write_bytes(content)
        assert audio_duration(tmp_path / name) == pytest.approx(SECONDS, abs=0.1)
        assert len(read_audio(tmp_path / name, 16000)) == pytest.approx(16000 * SECONDS, abs=1600)


def test_real_clips_of_common_voice_have_the_length_that_decoding_yields() -> None:
    """All 300, of three languages: FFmpeg on a pipe, ID3 tag, no Xing frame."""
    clips = sorted(real_data("common_voice_6.1_sample").glob("*/clips/*.mp3"))
    assert len(clips) == 300
    for clip in clips:
        with av.open(str(clip)) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
            rate = container.streams.audio[0].rate
        assert audio_duration(clip) == pytest.approx(samples / rate, abs=1e-9)
        assert len(read_audio(clip, None)) == samples
