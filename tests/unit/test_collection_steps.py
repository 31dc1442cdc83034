"""Each step of the collection by itself: decoding, spans, cutting, loudness, music, quality, lists, references."""

import enum
import itertools
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from collection_helpers import RATE, lufs, tone, write
from corpora_helpers import deep_folders, program, real_data
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.audio import read_audio
from salience.collection import (
    cutting,
    music,
    optional_models,
    quality,
    recording,
    reference,
    separation,
    sources,
    spans,
    speakers,
    voice,
)
from salience.collection.loudness import gain_to, loudness
from salience.collection.speakers import Turn
from salience.collection.summary import write_rejected
from salience.corpora import download
from salience.corpora.synthetic import recordings as mini_recordings
from salience.errors import InputError

SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)).map(lambda t: (t[0], t[0] + t[1])), max_size=8)


# Decoding


@pytest.mark.parametrize(
    ("ending", "rate", "subtype", "channels"),
    [
        ("wav", 44100, "PCM_16", 2), ("wav", 8000, "PCM_U8", 1), ("wav", 48000, "PCM_24", 1),
        ("wav", 22050, "FLOAT", 1), ("wav", 16000, "ULAW", 1), ("flac", 48000, "PCM_16", 2),
        ("ogg", 16000, "VORBIS", 1), ("mp3", 32000, "MPEG_LAYER_III", 1),
    ],
)  # fmt: skip
def test_any_format_is_decoded(tmp_path: Path, ending: str, rate: int, subtype: str, channels: int) -> None:
    sound = np.concatenate([np.zeros(rate), tone(1.0, 440, 0.3, rate)])
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([sound * 2, sound * 0], axis=1) if channels == 2 else sound, rate, subtype=subtype)
    found = read_audio(path, RATE, max_damaged=recording.DAMAGED)
    assert found.dtype == np.float32 and abs(len(found) - 2 * RATE) < 0.1 * RATE
    loud = np.flatnonzero(np.abs(found) > 0.05)
    assert abs(loud[0] - RATE) < 0.06 * RATE
    middle = found[loud[0] + 4000 : loud[0] + 4000 + 8000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    peak = np.argmax(np.abs(np.fft.rfft(middle))) * RATE / len(middle)
    assert peak == pytest.approx(440, abs=3)


def test_film_is_decoded(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        picture, sound = film.add_stream("mpeg4", rate=25), film.add_stream("aac", rate=44100, layout="stereo")
        picture.width = picture.height = 64
        for _ in range(25):
            film.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        values = np.tile(tone(1.0, 440, 0.3, 44100).astype(np.float32), (2, 1))
        frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="stereo")
        frame.sample_rate = 44100
        for packet in (*sound.encode(frame), *sound.encode(None), *picture.encode(None)):
            film.mux(packet)
    found = read_audio(tmp_path / "a.mp4", RATE, max_damaged=recording.DAMAGED)
    assert abs(len(found) - RATE) < 0.1 * RATE and np.abs(found).max() == pytest.approx(0.3, abs=0.05)


def test_long_recordings_are_resampled_without_seams(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(30.0, 1000, 0.5, 44100), 44100)
    found = read_audio(tmp_path / "a.wav", RATE, max_damaged=recording.DAMAGED)[RATE:-RATE]
    wanted = tone(30.0, 1000, 0.5)[RATE:-RATE]
    assert np.abs(found - wanted[: len(found)]).max() < 2e-3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.wav", b"", r"a.wav is empty \(0 bytes\)"),
        ("a.mp3", b"<html>not here</html>", "a.mp3 cannot be decoded"),
        ("a.wav", None, "a.wav does not exist"),
        ("a.wav", "cut", r"a.wav is cut off: it has 19956 of the 64000 bytes its header promises"),
        ("a.wav", "header", "a.wav (holds no sample|cannot be decoded)"),
        ("a.mkv", "film", "a.mkv has no audio in it"),
        ("a.wav", np.nan, "a.wav holds samples that are not numbers"),
        ("a.wav", np.inf, "a.wav holds samples that are not numbers"),
    ],
)
def test_what_cannot_be_decoded_is_one_sentence(tmp_path: Path, name: str, content, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(write(path, tone(2.0)).read_bytes()[:20000])
    elif content == "header":
        write(path, np.zeros(0))
    elif isinstance(content, float):
        sound = tone(2.0)
        sound[RATE] = content
        soundfile.write(path, sound, RATE, subtype="FLOAT")
    elif content == "film":
        import av

        with av.open(str(path), "w") as film:
            picture = film.add_stream("mpeg4", rate=25)
            picture.width = picture.height = 64
            for packet in (
                *picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")),
                *picture.encode(None),
            ):
                film.mux(packet)
    with pytest.raises(InputError, match=message) as error:
        read_audio(path, RATE, max_damaged=recording.DAMAGED)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [1, 9, 10])
def test_damaged_packets_become_silence_up_to_a_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: int
) -> None:
    """Up to 9 of 939 packets; what follows stays where it was."""
    import av

    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        sound = np.random.default_rng(0).standard_normal((1, 60 * RATE)) * 0.05
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    whole = read_audio(path, RATE, max_damaged=recording.DAMAGED)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(container.streams.audio[0]) if packet.size]
    content = bytearray(path.read_bytes())
    for place, size in places[20 : 20 + 4 * bad : 4]:
        content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    if bad == 10:
        with pytest.raises(InputError, match=r"a.m4a is damaged or cut off: 10 of \d+ packets cannot be decoded"):
            read_audio(path, RATE, max_damaged=recording.DAMAGED)
        return
    found = read_audio(path, RATE, max_damaged=recording.DAMAGED)
    assert len(found) == len(whole) and np.array_equal(found[5 * RATE :], whole[5 * RATE :])
    first = 20 * 1024
    assert np.abs(found[first - 500 : first + 500]).min() == 0 < np.abs(whole[first - 500 : first + 500]).min()
    assert f"silence replaces {bad} of" in caplog.text


def test_clips_are_rounded_and_never_wrap(tmp_path: Path) -> None:
    recording.write_clip(tmp_path / "a.wav", np.array([1.5, -1.5, 0.5, 0.6 / 32768]))
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [32767, -32768, 16384, 1]


# Spans and cutting


@given(SPANS, SPANS)
def test_spans_agree_with_masks(one: list, other: list) -> None:
    joined, apart = spans.join(one), spans.join(other)
    assert spans.from_mask(spans.mask(one, 400)) == joined
    both = (spans.mask(one, 400) & spans.mask(other, 400)).sum()
    assert sum(spans.overlap(span, apart) for span in joined) == both
    for span in joined:
        pieces = spans.cut_at(span, [edge for pair in apart for edge in pair])
        assert pieces[0][0] == span[0] and pieces[-1][1] == span[1]
        assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:]))
        assert all(spans.overlap(piece, apart) in (0, piece[1] - piece[0]) for piece in pieces)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.3, 50), st.floats(0.2, 1.4)), min_size=1, max_size=12))
def test_pieces_follow_each_other_and_keep_to_the_limits(script: list) -> None:
    turns, at = [], 0.5
    for said, pause in script:
        turns.append(Turn(round(at * RATE), round((at + said) * RATE), 1))
        at += said + pause
    length = round((at + 1) * RATE)
    samples = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    (stretch,) = cutting.stretches(turns, [], 1.5, 0.15, length)
    pieces = cutting.cut(stretch, samples, 3, 30, 7)
    assert (
        pieces[0][0] == stretch.start <= turns[0].start and pieces[-1][1] == stretch.end >= turns[-1].end - cutting.GRID
    )
    assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:]))
    assert all(edge % cutting.GRID == 0 for piece in pieces for edge in piece)
    if spans.seconds((stretch.start, stretch.end)) >= 3:
        assert all(3 <= spans.seconds(piece) <= 30 for piece in pieces)
    else:
        assert pieces == [(stretch.start, stretch.end)]


def test_cuts_prefer_long_pauses() -> None:
    turns = [Turn(0, 4 * RATE, 1), Turn(round(4.25 * RATE), 7 * RATE, 1), Turn(round(7.8 * RATE), 14 * RATE, 1)]
    (stretch,) = cutting.stretches(turns, [], 1.5, 0.15, 14 * RATE)
    first, second = cutting.cut(stretch, np.ones(14 * RATE, np.float32), 3, 30, 7)
    assert first[1] / RATE == pytest.approx(7.4, abs=0.001) and second == (first[1], 14 * RATE)


def test_who_talks_on_is_cut_where_it_is_quietest() -> None:
    samples = np.random.default_rng(0).standard_normal(14 * RATE).astype(np.float32)
    samples[round(6.5 * RATE) : round(6.56 * RATE)] *= 0.01
    (stretch,) = cutting.stretches([Turn(0, len(samples), 1)], [], 1.5, 0.15, len(samples))
    assert any(abs(piece[1] / RATE - 6.53) < 0.03 for piece in cutting.cut(stretch, samples, 3, 9, 7)[:-1])


def test_no_stretch_crosses_a_speaker_a_long_pause_or_an_edge_of_music() -> None:
    second = RATE
    turns = [Turn(1 * second, 3 * second, 1), Turn(4 * second, 5 * second, 1), Turn(7 * second, 8 * second, 1),
             Turn(8 * second, 9 * second, 2), Turn(10 * second, 11 * second, 2)]  # fmt: skip
    found = cutting.stretches(turns, [round(9.5 * second)], 1.5, 0.15, 12 * second)
    assert [(s.speaker, s.start / RATE, s.end / RATE) for s in found] == [
        (1, 0.85, 5.15), (1, 6.85, 8.0), (2, 8.0, 9.15), (2, 9.85, 11.15),
    ]  # fmt: skip
    assert found[0].pauses == ((3 * second, 4 * second),)
    assert all(a.end <= b.start for a, b in zip(found, found[1:]))


# Loudness and quality


@pytest.mark.parametrize("level", [-60.0, -40.0, -20.0, -6.0])
def test_loudness_is_that_of_the_standard(level: float) -> None:
    sound = tone(4.0, 997, 10 ** (level / 20))
    # BS.1770: a sine of 997 Hz at full scale measures -3.01 LUFS.
    assert loudness(sound) == pytest.approx(level - 3.01, abs=0.15)
    assert loudness(sound) == pytest.approx(lufs(sound), abs=0.15)


@settings(max_examples=20, deadline=None)
@given(st.floats(-75, 0), st.integers(0, 5), st.floats(-30, -18))
def test_gain_reaches_the_target(level: float, seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    sound = (
        random.standard_normal(5 * RATE) * np.repeat(10 ** (random.uniform(-2, 0, 10)), RATE // 2) * 10 ** (level / 20)
    )
    gain, reached = gain_to(target, sound)
    if gain:
        assert reached == pytest.approx(target, abs=0.1) and lufs(sound * gain) == pytest.approx(target, abs=0.5)
    else:
        assert loudness(sound) == float("-inf")


def test_silence_has_no_loudness() -> None:
    assert gain_to(-26, np.zeros(RATE)) == (0.0, float("-inf"))


def clip_with(snr: float, seconds: float = 6.0) -> tuple[np.ndarray, list, tuple]:
    """Noise throughout, and a louder noise as speech in two of each three seconds."""
    random = np.random.default_rng(1)
    sound = random.standard_normal(round(seconds * RATE)) * 0.001
    speech = [(round(s * RATE), round((s + 2) * RATE)) for s in np.arange(0.5, seconds - 1.9, 3)]
    for start, end in speech:
        sound[start:end] += random.standard_normal(end - start) * 0.001 * 10 ** (snr / 20)
    return sound.astype(np.float32), speech, (0, len(sound))


@pytest.mark.parametrize("snr", [0.0, 5.0, 15.0, 30.0])
def test_snr_is_found(snr: float) -> None:
    sound, speech, clip = clip_with(snr)
    assert quality.measure(sound, clip, speech, [], -26).snr == pytest.approx(snr, abs=1.0)


def test_every_reason_can_be_given() -> None:
    limits = quality.Limits()

    def reason(sound: np.ndarray, speech: list, clip: tuple, played=()) -> str:
        found = quality.rejection(clip, quality.measure(sound, clip, speech, played, limits.loudness), limits)
        if found is None:
            return ""
        assert found[1].startswith(("it ", "its ", "there ", "at ")) or found[1][0].isdigit()
        return found[0]

    good, speech, clip = clip_with(30)
    assert reason(good, speech, clip) == ""
    assert reason(good, speech, (0, 2 * RATE)) == "short"
    assert reason(*clip_with(30, 31.0)) == "long"
    assert reason(good, speech, (0, 2 * RATE), [(0, 2 * RATE)]) == "music"
    assert reason(good, speech, clip, [(0, RATE)]) == "music" and reason(good, speech, clip, [(0, RATE // 2)]) == ""
    assert reason(good, speech[:1], clip) == "speech"
    loud = good.copy()
    loud[RATE : RATE + 200] = 1.0
    assert reason(loud, speech, clip) == "clipping"
    peaky = good.copy()
    peaky[RATE] = 30 * float(np.abs(good).max())
    peaky /= 2 * np.abs(peaky).max()
    assert reason(peaky, speech, clip) == "loudness"
    assert reason(good * 0, speech, clip) == "loudness"
    assert reason(*clip_with(5)) == "snr"


# Music


def test_music_is_found_alone_and_under_noise_and_nowhere_else() -> None:
    random = np.random.default_rng(0)
    played = np.interp(
        np.arange(10 * RATE),
        np.arange(10 * mini_recordings.RATE) * RATE / mini_recordings.RATE,
        mini_recordings.music(10, -20, 1),
    )
    noise = random.standard_normal(30 * RATE) * 0.01
    sound = noise.copy()
    sound[10 * RATE : 20 * RATE] += played
    ((start, end),) = music.music(sound.astype(np.float32), 2.2)
    assert abs(start / RATE - 10) < 1.0 and abs(end / RATE - 20) < 1.0
    assert music.music(noise.astype(np.float32), 2.2) == []
    assert music.music(np.zeros(20 * RATE, np.float32), 2.2) == []
    assert music.music(np.zeros(100, np.float32), 2.2) == []
    # A tone that wanders, as a voice does, is no music.
    wandering = np.sin(np.cumsum(2 * np.pi * (500 + 100 * np.sin(np.arange(20 * RATE) / RATE * 9)) / RATE)).astype(
        np.float32
    )
    assert music.music(wandering * 0.1, 2.2) == []


def test_music_at_the_end_reaches_the_end() -> None:
    sound = np.concatenate(
        [tone(8.0) + tone(8.0, 1500) + tone(8.0, 2200) + tone(8.0, 2900) + tone(8.0, 4000), np.zeros(100)]
    )
    assert music.music(sound.astype(np.float32), 2.2) == [(0, len(sound))]


# Lists


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_an_accent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    root = touch(
        tmp_path / "audio",
        "Lori/a b.wav",
        "Lori/deep/c.MP3",
        "Yazdi/d.flac",
        "Yazdi/.hidden.wav",
        "Yazdi/notes.txt",
        "Yazdi/x.txt",
    )
    touch(root, "loose.wav", ".trash/e.wav", "README")
    found, rejected = sources.from_folder(root)
    assert [(s.key, s.accent, s.speaker) for s in found] == [
        ("Lori-a_b", "Lori", None),
        ("Lori-deep-c", "Lori", None),
        ("Yazdi-d", "Yazdi", None),
    ]
    assert [(r.recording, r.reason, r.sentence) for r in rejected] == [
        ("loose", "list", f"{root}/loose.wav lies in no accent's folder; move it into one")
    ]
    assert f"{root}: 3 files are no recordings by their ending (.txt 2, none 1)" in caplog.text
    for name in ("nothing", "Yazdi"):
        with pytest.raises(InputError, match="holds no <accent>/<recording>"):
            sources.from_folder(root / name)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "disk", "kurdish/a.amr", "kurdish/b.3gp", "c.caf")
    root = touch(tmp_path / "audio", "Lori/d.wv")
    (root / "Kurdish").symlink_to(tmp_path / "disk/kurdish")
    (root / "Lori/c.caf").symlink_to(tmp_path / "disk/c.caf")
    (root / "Lori/gone.wav").symlink_to("nowhere.wav")
    (root / "Lori/self.wav").symlink_to("self.wav")
    (root / "Lori/up").symlink_to(root)
    (tmp_path / "disk/kurdish/over").symlink_to(root / "Lori")
    found, rejected = sources.from_folder(root)
    assert [s.key for s in found] == ["Kurdish-a", "Kurdish-b"]
    # Those of Lori are Kurdish as well by the last link.
    assert {r.recording for r in rejected if r.reason == "two accents"} == {
        f"Kurdish-over-{name}" for name in ("c", "d", "gone", "self")
    }


def test_names_that_no_table_or_file_can_hold_cost_one_row_each(tmp_path: Path) -> None:
    root, good = tmp_path / "audio", tone(1.0)
    write(root / "Lori/good.wav", good)
    write(root / "Lori" / f"{'n' * 251}.wav", tone(1.0, 300))
    write(root / "Lori/" / "/".join(["deep"] * 60) / "b.wav", tone(1.0, 400))
    (root / os.fsdecode(b"Lori/c\xff.wav")).write_bytes((root / "Lori/good.wav").read_bytes() + b"\0\0")
    with deep_folders(root / "Lori", "deeper", 900):
        found, rejected = sources.from_folder(root)
    assert [s.key for s in found] == ["Lori-good"]
    assert [r.reason for r in rejected] == ["name"] * 4
    said = " ".join(r.sentence for r in rejected)
    assert (
        "c\\xff.wav: the name is not UTF-8; rename it" in said
        and said.count("longer than files may have; shorten the path") == 3
    )
    table = tmp_path / "list.tsv"
    table.write_bytes(
        b"audio/Lori/good.wav\tLori\naudio/Lori/c\xff.wav\tLori\na.wav\tY\xe9zdi\nb.wav\t" + b"L" * 300 + b"\n\xfe\n"
    )
    found, rejected = sources.from_list(table)
    assert [s.key for s in found] == ["audio-Lori-good"]
    assert sorted(r.reason for r in rejected) == ["list", "name", "name", "name"]
    write_rejected(tmp_path / "rejected.tsv", rejected)
    assert f"{table}:3: the name is not UTF-8" in (tmp_path / "rejected.tsv").read_text(encoding="utf-8")


@pytest.mark.parametrize("speaker", [None, "s" * 100])
def test_the_longest_names_are_collected(tmp_path: Path, speaker: str | None) -> None:
    """What is made of a name just within the limit fits: clips, the folder and its temporary name."""
    room = sources.LONGEST_NAME - 1 - len(speaker or "")
    path = write(tmp_path / f"{'n' * room}.wav", tone(1.0))
    (tmp_path / "list.tsv").write_text(f"{path.name}\tLori\t{speaker or ''}\n")
    (source,), rejected = sources.from_list(tmp_path / "list.tsv")
    assert not rejected
    with download.whole_folder(tmp_path / "out" / source.key) as folder:
        write(folder / f"{recording.ids(source, 99, 9999)[1]}.wav", tone(0.1))
    path = path.rename(tmp_path / f"{'n' * (room + 1)}.wav")
    (tmp_path / "list.tsv").write_text(f"{path.name}\tLori\t{speaker or ''}\n")
    assert [r.reason for r in sources.from_list(tmp_path / "list.tsv")[1]] == ["name"]


@pytest.mark.parametrize("how", ["copy", "hard link", "link"])
@pytest.mark.parametrize("folder", ["Yazdi", "Lori"])
def test_one_file_in_two_folders(tmp_path: Path, how: str, folder: str) -> None:
    """With two accents it is rejected; with one it is collected from once."""
    first, other = tmp_path / "Lori/a.wav", tmp_path / folder / "b.wav"
    write(first, tone(1.0))
    write(tmp_path / "Yazdi/else.wav", tone(1.0, 400))
    touch(tmp_path, "Lori/empty.wav", "Yazdi/void.wav")
    if how == "link":
        other.symlink_to(first)
    elif how == "copy":
        other.write_bytes(first.read_bytes())
    else:
        other.hardlink_to(first)
    found, (row,) = sources.from_folder(tmp_path)
    kept = ["Lori-empty", "Yazdi-else", "Yazdi-void"]
    if folder == "Yazdi":
        assert [s.key for s in found] == kept and (row.recording, row.reason) == ("Lori-a", "two accents")
        assert row.sentence == f"{first} has the accents Lori and Yazdi ({first}, {other}); keep one of them"
    else:
        assert [s.key for s in found] == ["Lori-a", *kept] and (row.recording, row.reason) == ("Lori-b", "list")
        assert row.sentence == f"{other} is the same recording as {first}; keep one of them"


def test_one_file_by_two_paths_of_a_list(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(1.0))
    write(tmp_path / "sub/b.wav", tone(1.0, 400))
    table = tmp_path / "list.tsv"
    table.write_text("a.wav\tLori\nsub/../a.wav\tYazdi\nsub/b.wav\tYazdi\tAnna\n./sub/../sub/b.wav\tYazdi\tBoris\n")
    found, rejected = sources.from_list(table)
    # Two speakers are told: nobody knows which it is.
    assert [(s.path, s.accent, s.speaker) for s in found] == [(tmp_path / "sub/b.wav", "Yazdi", None)]
    assert [r.reason for r in rejected] == ["two accents", "list"] and f"({table}:1, {table}:2)" in rejected[0].sentence


NAMES = st.text("ab-/_ .1", min_size=1, max_size=5).filter(str.strip)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES | st.none()), min_size=1, max_size=6))
def test_ids_are_sorted_by_speaker_whatever_names_are_given(
    tmp_path_factory: pytest.TempPathFactory, lines: list
) -> None:
    """Ids as Kaldi wants them: no two alike, and sorted by speaker as well."""
    table = tmp_path_factory.mktemp("list") / "list.tsv"
    table.write_text("".join(f"{path.strip()}.wav\tLori\t{speaker or ''}\n" for path, speaker in lines))
    ids = {}
    for source in sources.from_list(table)[0]:
        for number in range(2):
            speaker, utt = recording.ids(source, number + 1, number + 1)
            assert utt not in ids and "/" not in utt
            ids[utt] = speaker
    ordered = sorted(ids, key=str.encode)
    assert ordered == sorted(ids, key=lambda utt: (ids[utt].encode(), utt.encode()))


def test_one_bad_line_leaves_the_rest(tmp_path: Path) -> None:
    table = tmp_path / "list.tsv"
    table.write_text(
        "# path accent speaker\na.wav\tLori\tAnna"
        " B\nb.wav\n\nc.wav\tLori\nc.wav\tYazdi\nd.wav\tYazdi\nd.wav\tYazdi\n/x/d.mp3\tYazdi\ne.wav\t\tf\n"
    )
    found, rejected = sources.from_list(table)
    assert [(s.key, s.path, s.accent, s.speaker) for s in found] == [("a", tmp_path / "a.wav", "Lori", "Anna_B")]
    said = {one.recording: (one.reason, one.sentence) for one in rejected}
    assert said["b.wav"] == (
        "list",
        f"{table}:3 is not a path, an accent and perhaps a speaker, separated by tabs; fix the line",
    )
    assert said["e.wav"][0] == "list"
    assert said["c"][0] == "two accents" and f"has the accents Lori and Yazdi ({table}:5, {table}:6)" in said["c"][1]
    assert said["d"][0] == "list" and "would both be called d" in said["d"][1]
    with pytest.raises(
        InputError, match="none.tsv is missing; correct the path, or write the list of recordings there"
    ):
        sources.from_list(tmp_path / "none.tsv")
    (tmp_path / "none.tsv").write_text("# nothing\n")
    with pytest.raises(InputError, match="none.tsv lists no recording"):
        sources.from_list(tmp_path / "none.tsv")


# References


def most_pairs(found: list, wanted: list, tolerance: int) -> int:
    """The largest number of pairs, by trying all."""
    near = [[j for j, w in enumerate(wanted) if w[0] <= f[1] + tolerance and w[1] >= f[0] - tolerance] for f in found]
    choices = ([c for c in choice if c is not None] for choice in itertools.product(*[[None, *row] for row in near]))
    return max((len(choice) for choice in choices if len(set(choice)) == len(choice)), default=0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=5), st.lists(st.integers(0, 60), max_size=5), st.integers(0, 8))
def test_as_many_boundaries_are_paired_as_can_be(found: list, wanted: list, tolerance: int) -> None:
    mine, theirs = [(p, p) for p in found], [(p, p) for p in wanted]
    assert reference.matched(mine, theirs, tolerance) == most_pairs(mine, theirs, tolerance)


def test_gaps_are_between_utterances() -> None:
    assert reference.gaps([(0, 10), (10, 20), (25, 30)]) == [(0, 0), (10, 10), (20, 25), (30, 30)]
    assert reference.gaps([(0, 12), (10, 20)]) == [(0, 0), (10, 10), (20, 20)] and reference.gaps([]) == []


def known(*lines: tuple) -> dict[str, reference.Reference]:
    return {"a": reference.Reference([reference.Said(*line) for line in lines])}


def test_a_perfect_collection_scores_all() -> None:
    truth = known((1.0, 4.0, "x", ""), (4.5, 8.0, "y", ""), (8.0, 12.0, "y", ""))
    truth["a"].music = [(13 * RATE, 15 * RATE)]
    said = [u.span for u in truth["a"].utterances]
    found = reference.Found(
        20 * RATE, said, [(13 * RATE, 15 * RATE)], [(*said[0], 1), (*said[1], 2), (*said[2], 2)], said
    )
    result = reference.compare({"a": found}, truth)
    for name in (
        "coverage_clips",
        "coverage_speech",
        "speech_precision",
        "speaker_accuracy",
        "speaker_count",
        "music_precision",
        "music_recall",
    ):
        assert result[name] == 100, name
    for kind in ("tolerance", "speech_tolerance"):
        for own in result[kind].values():
            assert (own["precision"], own["recall"], own["f1"]) == (100, 100, 100) and own["chance_precision"] < 60


def test_mistakes_cost_what_they_should() -> None:
    truth = known((1.0, 5.0, "x", ""), (5.0, 9.0, "y", ""))
    half = reference.Found(
        20 * RATE, [(1 * RATE, 5 * RATE)], [], [(1 * RATE, 9 * RATE, 1)], [(1 * RATE, 5 * RATE), (12 * RATE, 16 * RATE)]
    )
    result = reference.compare({"a": half, "b": half}, truth)
    # Found: 1, the gap of 5 to 12, and 16; known: 1, 5 and 9.
    assert result["recordings"] == 1 and result["tolerance"]["0.25"]["precision"] == pytest.approx(66.67)
    assert result["tolerance"]["0.25"]["recall"] == pytest.approx(66.67)
    assert (result["coverage_clips"], result["coverage_speech"], result["speech_precision"]) == (50, 50, 100)
    # One utterance begins with the speech, the other 4 s after it.
    assert result["onset_error"] == 2.0
    assert (result["speaker_accuracy"], result["speaker_count"], result["music_recall"]) == (50, 0, None)
    with pytest.raises(InputError, match="names none of the recordings"):
        reference.compare({"b": half}, truth)


def test_text_of_a_clip_is_that_of_whole_utterances() -> None:
    own = known((1.0, 4.0, "x", "one"), (4.5, 8.0, "x", "two"), (9.0, 12.0, "x", ""))["a"]

    def text(start: float, end: float) -> str:
        return reference.text_of((round(start * RATE), round(end * RATE)), own)

    assert text(0.8, 8.2) == "one two" and text(0.8, 4.2) == "one"
    assert text(0.8, 6.0) == "" and text(0.8, 12.5) == "" and text(15, 18) == ""


def test_short_words_are_part_of_the_text() -> None:
    own = known((1.0, 4.0, "x", "one"), (4.3, 4.45, "x", "yes"), (5.0, 8.0, "x", "two"))["a"]

    def text(start: float, end: float) -> str:
        return reference.text_of((round(start * RATE), round(end * RATE)), own)

    assert text(0.8, 8.2) == "one yes two" and text(0.8, 4.5) == "one yes"
    # A cut through it leaves it to the side that has more of it.
    assert (
        text(0.8, 4.4) == "one yes"
        and text(4.4, 8.2) == "two"
        and text(0.8, 4.35) == "one"
        and text(4.35, 8.2) == "yes two"
    )


def test_a_reference_that_is_missing_or_of_others_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ref.tsv is missing; correct --reference, or leave it out"):
        reference.read_reference(tmp_path / "ref.tsv")
    with pytest.raises(InputError, match="names none of the recordings; its first column .* for instance Lori-a$"):
        reference.shared(["Yazdi-b", "Lori-a"], known())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\t1\t2\tx", r"ref.tsv:2 has 4 fields instead of 5"),
        ("a\t2\t1\tx\t", r"ref.tsv:2 goes from 2 to 1"),
        ("a\tx\t1\tx\t", r"ref.tsv:2 goes from x to 1"),
        (None, r"ref.tsv:1 has no column recording; the columns are recording start end speaker text"),
    ],
)
def test_bad_references_are_one_sentence(tmp_path: Path, line: str | None, message: str) -> None:
    head = "recording\tstart\tend\tspeaker\ttext\n" if line else "a\t1\t2\tx\t\n"
    (tmp_path / "ref.tsv").write_text(head + (line or "") + "\n")
    with pytest.raises(InputError, match=message):
        reference.read_reference(tmp_path / "ref.tsv")


def test_multicast_becomes_a_list_and_a_reference(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    write(tmp_path / "audio/mc_x_t1.wav", tone(1.0))
    (tmp_path / "texts.csv").write_text("ID,Speaker\nt1,PS01\nt2,PS02\n")
    (tmp_path / "utterances.csv").write_text(
        'ID,Primary_Text,Audio_Start,Audio_End,Text_ID\nu1,"yek, do",100,1500,t1\nu2,se,0,10,t2\n'
    )
    program("egs/cv_fa_pdid/local/list_multicast.py").list_multicast(tmp_path, tmp_path / "out", "Lori")
    found, rejected = sources.from_list(tmp_path / "out/recordings.tsv")
    assert [(s.key, s.accent, s.speaker, s.path.is_file()) for s in found] == [
        ("mc_x_t1", "Lori", None, True)
    ] and not rejected
    truth = reference.read_reference(tmp_path / "out/reference.tsv")
    assert list(truth) == ["mc_x_t1"] and truth["mc_x_t1"].utterances == [reference.Said(0.1, 1.5, "PS01", "")]
    (tmp_path / "texts.csv").write_text("ID\nt1\n")
    with pytest.raises(InputError, match="texts.csv:1 has no column Speaker"):
        program("egs/cv_fa_pdid/local/list_multicast.py").list_multicast(tmp_path, tmp_path / "out", "Lori")


def test_real_narratives_have_speech_and_no_music() -> None:
    path = real_data("mcpersian") / "audio" / "mc_persian_g1-f-01.mp3"
    sound = read_audio(path, RATE, max_damaged=recording.DAMAGED)
    assert len(sound) / RATE == pytest.approx(94.67, abs=0.05)
    assert music.music(sound, 2.2) == []
    found = voice.speech(sound[: 30 * RATE], "silero", 0.5, 0.2)
    assert 20 < sum(map(spans.seconds, found)) < 29


# Models by name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: voice.speech(x, "pyannote", 0.5, 0.2), "needs the package pyannote.audio.*or take --vad silero"),
        (
            lambda x: speakers.diarise(x, [(0, RATE)], "pyannote", 0.4),
            "needs the package pyannote.audio.*or take --diariser resemblyzer",
        ),
        (lambda x: separation.separate(x, [(0, RATE)], "demucs"), "needs the package demucs.*or take --separator none"),
        (
            lambda x: voice.speech(x, "webrtc", 0.5, 0.2),
            "no voice activity detector webrtc; --vad takes silero or pyannote",
        ),
        (
            lambda x: speakers.diarise(x, [(0, RATE)], "silero", 0.4),
            "no diariser silero; --diariser takes resemblyzer or pyannote",
        ),
        (lambda x: separation.separate(x, [], "spleeter"), "no separator spleeter; --separator takes none or demucs"),
    ],
)
def test_a_model_that_is_not_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch, call, message: str) -> None:
    for name in ("pyannote", "pyannote.audio", "demucs", "demucs.pretrained"):
        monkeypatch.setitem(sys.modules, name, None)
    optional_models.load_pyannote.cache_clear(), optional_models.load_demucs.cache_clear()
    with pytest.raises(InputError, match=message) as error:
        call(np.zeros(3 * RATE, np.float32))
    assert "\n" not in str(error.value)


class Segment:
    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end


def fake_pyannote(monkeypatch: pytest.MonkeyPatch, answer) -> None:
    module = types.ModuleType("pyannote.audio")
    module.Pipeline = types.SimpleNamespace(from_pretrained=answer)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyannote", types.ModuleType("pyannote"))
    monkeypatch.setitem(sys.modules, "pyannote.audio", module)
    optional_models.load_pyannote.cache_clear()


def test_pyannote_is_asked_and_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Answer:
        def get_timeline(self):
            return types.SimpleNamespace(support=lambda: [Segment(0.5, 1.5), Segment(1.6, 2.0), Segment(2.5, 9.0)])

        def itertracks(self, yield_label: bool):
            assert yield_label
            return [(Segment(0, 1.0), "A", "one"), (Segment(0.8, 2.6), "B", "two")]

    def pipeline(model: str):
        asked.append(model)
        return lambda sound: (
            Answer() if sound["waveform"].shape == (1, 3 * RATE) and sound["sample_rate"] == RATE else None
        )

    fake_pyannote(monkeypatch, pipeline)
    sound = np.zeros(3 * RATE, np.float32)
    assert voice.speech(sound, "pyannote", 0.5, 0.2) == [(8000, 32000), (40000, 48000)]
    turns = speakers.diarise(sound, [(8000, 32000), (40000, 48000)], "pyannote:mine", 0.4)
    assert turns == [Turn(8000, 16000, 1), Turn(16000, 32000, 2), Turn(40000, 41600, 2)]
    assert asked == ["pyannote/voice-activity-detection", "mine"]


def test_a_model_that_cannot_be_fetched_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: str):
        raise OSError("no network\nand a long story")

    fake_pyannote(monkeypatch, refuse)
    with pytest.raises(InputError, match=r"voice-activity-detection cannot be fetched \(no network\); .*--vad silero"):
        voice.speech(np.zeros(RATE, np.float32), "pyannote", 0.5, 0.2)
    fake_pyannote(monkeypatch, lambda model: None)
    with pytest.raises(InputError, match="without accepting its terms"):
        voice.speech(np.zeros(RATE, np.float32), "pyannote", 0.5, 0.2)


class Problem(enum.Enum):
    """As in pyannote.audio.core.task, whose checkpoints hold such beside their weights."""

    ONE = 1


@dataclass
class Specifications:
    """The same."""

    problem: Problem
    classes: list[str]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_checkpoints_of_named_models_are_read_as_weights_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Although both packages ask for everything that is in them."""
    import torch

    def load(name: str):
        return torch.load(tmp_path / name, weights_only=False)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"weight": torch.ones(2), "specifications": Specifications(Problem.ONE, ["speech"])}, tmp_path / "plain")
    torch.save({"weight": torch.ones(2), "more": Evil(tmp_path / "executed")}, tmp_path / "evil")
    load("evil")
    (tmp_path / "executed").rmdir()

    fake_pyannote(monkeypatch, load)
    task = types.ModuleType("pyannote.audio.core.task")
    task.Problem, task.Resolution, task.Specifications = Problem, Problem, Specifications  # type: ignore[attr-defined]
    for name, module in (("pyannote.audio.core", types.ModuleType("pyannote.audio.core")), (task.__name__, task)):
        monkeypatch.setitem(sys.modules, name, module)
    assert optional_models.load_pyannote("plain", "diarisation", "--diariser resemblyzer")[
        "specifications"
    ].classes == ["speech"]
    refusal = (
        r"^pyannote's evil holds more than weights \((posix|os)\.mkdir\), which could run any code and is not loaded;"
        r" name another model, or take --diariser"
    )
    with pytest.raises(InputError, match=refusal):
        optional_models.load_pyannote("evil", "diarisation", "--diariser resemblyzer")

    pretrained = types.ModuleType("demucs.pretrained")
    pretrained.get_model = load  # type: ignore[attr-defined]
    for name, module in (("demucs", types.ModuleType("demucs")), (pretrained.__name__, pretrained)):
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(
        InputError,
        match=(
            r"^Demucs' evil holds more than weights .* or take a newer Demucs, which fetches weights alone, or"
            r" --separator none$"
        ),
    ):
        optional_models.load_demucs("evil", "--separator none")
    assert not (tmp_path / "executed").exists()
    # Nothing else of the process is changed.
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1" and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_demucs_replaces_what_lies_over_music(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = types.SimpleNamespace(samplerate=44100, audio_channels=2, sources=["drums", "vocals"])
    pretrained, apply = types.ModuleType("demucs.pretrained"), types.ModuleType("demucs.apply")
    pretrained.get_model = lambda name: model if name == "htdemucs" else None  # type: ignore[attr-defined]

    def apply_model(given, mixture, shifts):
        assert given is model and shifts == 0 and mixture.shape[:2] == (1, 2)
        return torch.stack([0 * mixture, 0.5 * mixture], dim=1)

    apply.apply_model = apply_model  # type: ignore[attr-defined]
    for name, module in (
        ("demucs", types.ModuleType("demucs")),
        ("demucs.pretrained", pretrained),
        ("demucs.apply", apply),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    optional_models.load_demucs.cache_clear()
    sound = tone(6.0, 300, 0.4).astype(np.float32)
    freed = separation.separate(sound, [(2 * RATE, 3 * RATE)], "demucs")
    assert np.array_equal(freed[: 2 * RATE], sound[: 2 * RATE]) and np.array_equal(freed[3 * RATE :], sound[3 * RATE :])
    assert np.abs(freed[2 * RATE : 3 * RATE] - 0.5 * sound[2 * RATE : 3 * RATE]).max() < 0.01
    assert (
        separation.separate(sound, [], "demucs") is sound and separation.separate(sound, [(0, RATE)], "none") is sound
    )


def test_music_that_a_separator_removed_was_there_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips are judged by what is left of it; the recording had it, and one of nothing else held music."""
    monkeypatch.setattr(separation, "_demucs", lambda samples, name: samples * 0)
    chord = sum(tone(8.0, pitch) for pitch in (997, 1500, 2200, 2900, 4000))
    sound = np.concatenate([np.zeros(RATE), chord, np.zeros(RATE)]).astype(np.float32)
    source = sources.Source("a", Path("a.wav"), "Lori")
    for separator in ("none", "demucs"):
        outcome = recording._collect(source, sound, recording.Settings(separator=separator), lambda name, clip: None)
        assert outcome.rejected[0].reason == "music" and len(outcome.found.music) == 1
