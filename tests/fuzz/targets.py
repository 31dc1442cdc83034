"""What is fuzzed: every reader of bytes that others wrote, as a function of those bytes and an empty folder.

A reader may raise InputError and nothing else.  Files of one reader are cut
from one input at CUT, in a fixed order.
"""

import io
import json
import os
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

from salience import program
from salience.audio import audio_duration, read_audio
from salience.corpora import an4, common_voice, custom, download, edacc, fsdd, librispeech, pdid, speech_commands
from salience.corpora.labels import read_labels
from salience.data import transforms
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.packed import read_packed
from salience.data.tables import ignore, iterate_rows, iterate_table, mend, read_table, write_table
from salience.data.tokens import read_tokens
from salience.data.validation import validate
from salience.data.vocabulary import read_vocabulary
from salience.errors import InputError
from salience.features.archives import Archive, merge_scps
from salience.files import read_json, read_yaml
from salience.steps import Step, fingerprint

CUT = b"\n%%\n"
RATE = 16000


@dataclass(frozen=True)
class Target:
    """A reader, valid inputs to begin with, and how many inputs it gets in proportion to others."""

    read: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    share: float = 4
    words: tuple[bytes, ...] = field(default=())
    """What a mutation may put in, besides bytes."""


def cut(data: bytes, folder: Path, *names: str) -> None:
    """Write the parts of an input under these names; a part that is missing is no file."""
    for name, part in zip(names, data.split(CUT), strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part)


def joined(*parts: str) -> list[bytes]:
    return [CUT.join(part.encode() for part in parts)]


def sound(form: str, subtype: str | None = None, rate: int = RATE, channels: int = 1) -> bytes:
    """Half a second in a format."""
    written = io.BytesIO()
    samples = 0.1 * np.random.default_rng(1).standard_normal((rate // 2, channels))
    soundfile.write(written, samples, rate, format=form, subtype=subtype)
    return written.getvalue()


def wav(samples: int, rate: int = RATE) -> bytes:
    written = io.BytesIO()
    soundfile.write(written, np.zeros(samples), rate, format="WAV", subtype="PCM_16")
    return written.getvalue()


# Data directories.

TABLES = ("utt2spk", "wav.scp", "text", "segments", "utt2dur", "spk2gender", "utt2accent", "spk2utt", "utt2num_frames")
DIRECTORY = joined(
    "a-1 a\na-2 a\nb-1 b\n",
    "r1 r1.wav\nr2 /tmp/r2.wav\n",
    "a-1 one two\na-2 three\nb-1 \u0633\u0644\u0627\u0645\n",
    "a-1 r1 0 1.5\na-2 r1 1.5 2\nb-1 r2 0.1 0.2\n",
    "a-1 1.5\na-2 0.5\nb-1 0.1\n",
    "a m\nb f\n",
    "a-1 x\na-2 x\nb-1 y\n",
    "a a-1 a-2\nb b-1\n",
    "a-1 150\na-2 50\nb-1 10\n",
)


def data_directory(data: bytes, folder: Path) -> None:
    cut(data, folder / "d", *TABLES)
    found = read_data_dir(folder / "d")
    write_data_dir(folder / "again", found)
    assert len(read_data_dir(folder / "again")) == len(found)


def validation(data: bytes, folder: Path) -> None:
    cut(data, folder, *TABLES)
    assert all(
        "\n" not in fault for fault in validate(folder, feats=False, max_duration=30, disjoint_sentences=[folder])
    )


def transformed(data: bytes, folder: Path) -> None:
    cut(data, folder / "d", *TABLES)
    source = folder / "d"
    for action in (
        lambda: transforms.split(source, 2),
        lambda: transforms.subset(
            source,
            folder / "s",
            transforms.choose(source, ("shortest", "per-spk", "speakers", "first")[len(data) % 4], 1),
        ),
        lambda: transforms.combine(folder / "c", [source, folder / "s"]),
        lambda: transforms.copy(source, folder / "p", utt_prefix="x-", spk_prefix="x-"),
        lambda: transforms.fix(source),
    ):
        try:
            action()
        except InputError:
            pass


def table(data: bytes, folder: Path) -> None:
    (folder / "t").write_bytes(data)
    found = read_table(folder / "t")
    write_table(folder / "u", found)
    assert read_table(folder / "u") == found


def mended(data: bytes, folder: Path) -> None:
    """What fix has written every program reads, and its characters are no fault to validation."""
    cut(data, folder, *TABLES)
    transforms.fix(folder)
    for path in folder.iterdir():
        if path.is_file():
            read_table(path)
    assert not any("begin with white space" in fault or "in an id" in fault for fault in validate(folder, feats=False))


def rows(data: bytes, folder: Path) -> None:
    """Text and bytes of a table are read alike, and reading over its faults gives the rows of the mended table."""
    (folder / "t").write_bytes(data)
    over = list(iterate_table(folder / "t", ignore))
    found = [(key.decode(), value.decode()) for key, value in iterate_rows(folder / "t", mend)]
    assert [row[1:] for row in over] == found
    assert [row[1:] for row in iterate_table(folder / "t")] == found


def wav_scp(data: bytes, folder: Path) -> None:
    (folder / "r1.wav").write_bytes(WAV)
    (folder / "wav.scp").write_bytes(data)
    read_audio(Path(next(iter(read_table(folder / "wav.scp").values()), "")), RATE)


WAV = wav(1600)

# Corpora.

CV = (
    "client_id\tpath\tsentence\tup_votes\taccents\tgender\tlocale\n"
    + "a" * 20
    + '\tc1.mp3\tHello "you.\t2\tUnited States English\tmale\ten\n',
    "clip\tduration[ms]\nc1.mp3\t1234\n",
    "United States English\tus\n# no\nIrish\tirish\n",
)


def common_voice_tables(data: bytes, folder: Path) -> None:
    (folder / "clips").mkdir()
    (folder / "clips" / "c1.mp3").write_bytes(b"")
    cut(data, folder, "validated.tsv", "clip_durations.tsv", "labels")
    labels = read_labels(folder / "labels") if (folder / "labels").exists() else {}
    list(common_voice.utterances(folder, labels=labels))


FIRST_CV = (
    "filename,text,up_votes,down_votes,age,gender,accent,duration\n"
    'cv-valid-dev/c1.mp3,"hello, ""you""",1,0,,male,us,\ncv-valid-dev/c2.mp3,bye,1,0,,,england,1.5\n'
)


def common_voice_first_release(data: bytes, folder: Path) -> None:
    (folder / "cv-valid-dev.csv").write_bytes(data)
    for clip in common_voice.rows(common_voice.find_root(folder), "validated"):
        assert clip.audio(folder) and clip.id.startswith(clip.speaker)


EDACC = joined(
    'PARTICIPANT_ID,How would you describe your accent in English?,What is your gender?\nE-C1-A,"Irish,'
    ' I\nthink",Male\nE-C1-B,Italian,Female\n',
    "E-C1-0001 E-C1 0.00 0.05\nE-C1-0002 E-C1 0.05 0.09\n",
    "E-C1-0001 HELLO <laugh> YOU\nE-C1-0002 NO\n",
    "E-C1-0001 E-C1-A\nE-C1-0002 E-C1-B\n",
    ";; x\nE-C1 1 E-C1-A 0.0 0.04 <o> IGNORE_TIME_SEGMENT_IN_SCORING\nE-C1 1 E-C1-B 0.05 0.09 <o> no\n",
)


def edacc_files(data: bytes, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "E-C1.wav").write_bytes(WAV)
    cut(data, folder, "linguistic_background.csv", "dev/segments", "dev/text", "dev/utt2spk", "dev/stm")
    list(edacc.utterances(folder, ("dev",)))


AN4 = joined(
    "an4_clstk/fash/an1-fash-b\nan4_clstk/fash/an2-fash-b\n",
    "<s> YES </s> (an1-fash-b)\n<s> N O </s> (an2-fash-b)\n",
    "an4test/mmxg/an3-mmxg-b\n",
    "TWELVE (an3-mmxg-b)\n",
)


def an4_files(data: bytes, folder: Path) -> None:
    for name in ("an4_clstk/fash/an1-fash-b", "an4_clstk/fash/an2-fash-b", "an4test/mmxg/an3-mmxg-b"):
        path = folder / "wav" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV)
    cut(
        data,
        folder,
        "etc/an4_train.fileids",
        "etc/an4_train.transcription",
        "etc/an4_test.fileids",
        "etc/an4_test.transcription",
    )
    list(an4.utterances(folder))


def commands_lists(data: bytes, folder: Path) -> None:
    (folder / "yes").mkdir()
    for name in ("aa_nohash_0.wav", "ab_nohash_0.wav"):
        (folder / "yes" / name).write_bytes(WAV)
    cut(data, folder, "validation_list.txt", "testing_list.txt")
    list(speech_commands.utterances(folder))


def fsdd_metadata(data: bytes, folder: Path) -> None:
    (folder / "recordings").mkdir()
    (folder / "recordings" / "0_jackson_0.wav").write_bytes(wav(800, fsdd.RATE))
    (folder / "metadata.py").write_bytes(data)
    list(fsdd.utterances(folder))


def librispeech_files(data: bytes, folder: Path) -> None:
    cut(data, folder, "SPEAKERS.TXT", "dev-clean/84/121/84-121.trans.txt")
    (folder / "dev-clean/84/121").mkdir(parents=True, exist_ok=True)
    (folder / "dev-clean/84/121/84-121-0000.flac").write_bytes(WAV)
    list(librispeech.utterances(folder))


def pdid_metadata(data: bytes, folder: Path) -> None:
    (folder / "a.wav").write_bytes(WAV)
    (folder / "metadata.tsv").write_bytes(data)
    list(pdid.utterances(folder))


PDID = "\t".join(pdid.COLUMNS) + "\ns1-a\ta.wav\tx\tr\t0\t1\ts1\t-20\t10\t0\tone two\ttrain\n"


def own_table(data: bytes, folder: Path) -> None:
    (folder / "own.csv").write_bytes(data)
    custom.name_alike([custom.read(folder / "own.csv", folder)])


OWN = b'id,path,speaker,accent,text,start,end\na-1,a.wav,a,x,"one, two",0,1\nb 2,b.wav,b,y,three,,\n'


def lhotse(data: bytes, folder: Path) -> None:
    cut(data, folder, "recordings.jsonl", "supervisions.jsonl", "cuts.jsonl")
    own = "cuts.jsonl" if (folder / "cuts.jsonl").exists() else "supervisions.jsonl"
    custom.name_alike([custom.read(folder / own, folder)])


def manifests() -> list[bytes]:
    """Recordings and supervisions, and these with cuts."""
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}
    supervision = {"id": "s", "recording_id": "r", "start": 0.0, "duration": 0.5, "channel": 0, "text": "one",
                   "speaker": "a", "gender": "f", "custom": {"accent": "x"}}  # fmt: skip
    made = {"id": "c", "type": "MonoCut", "start": 0.1, "duration": 0.5, "channel": 0, "recording": recording,
            "supervisions": [supervision]}  # fmt: skip
    lines = [json.dumps(row).encode() + b"\n" for row in (recording, supervision, made)]
    return [CUT.join(lines[:2]), CUT.join(lines)]


# Archives, arrays.


def matrices() -> list[bytes]:
    """One archive of each kind, the entry at byte 4 of all."""
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    written = []
    for options in (
        {},
        {"compression_method": 2},
        {"compression_method": 3},
        {"compression_method": 5},
        {"text": True},
    ):
        handle = io.BytesIO()
        kaldiio.save_ark(handle, {"key": matrix}, **options)
        written.append(handle.getvalue())
    handle = io.BytesIO()
    kaldiio.save_ark(handle, {"key": matrix.astype(np.float64)})
    written.append(handle.getvalue())
    return [*written, b"key PKL\x80\x04K\x01.", b"key NPY\x01\x01x", b"key AUDIO\x01\x01x"]


def archive(data: bytes, folder: Path) -> None:
    (folder / "a.ark").write_bytes(data)
    (folder / "a.scp").write_text(f"key {folder}/a.ark:4\n")
    found = Archive(folder / "a.scp")["key"]
    assert found.ndim == 2


def scp(data: bytes, folder: Path) -> None:
    (folder / "a.ark").write_bytes(FLOATS)
    (folder / "a.scp").write_bytes(data)
    fingerprint(Path("a.scp"))
    merge_scps([Path("a.scp")], Path("m.scp"))
    source = Archive(Path("m.scp"))
    for key in list(source)[:3]:
        try:
            source[key]
        except InputError:
            pass


FLOATS = matrices()[0]


def packed(data: bytes, folder: Path) -> None:
    cut(data, folder, "utterances", "signals.npy")
    read_packed(folder)


def packed_seeds() -> list[bytes]:
    written = io.BytesIO()
    np.save(written, np.arange(20, dtype=np.int16))
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    return [b"a 0 5\nb 5 15\n" + CUT + content.getvalue() for content in (written, objects)]


# Settings and records.


def yaml_file(data: bytes, folder: Path) -> None:
    (folder / "c.yaml").write_bytes(data)
    read_yaml(folder / "c.yaml", "correct it")


YAML = [
    b"a: 1\nb: [x, 2.5, null]\nc: {d: &e [1, 2], f: *e}\n",
    b'- !!python/object/apply:os.system ["true"]\n',
    b"a: &a [*a]\nb: 2001-01-01\n",
]


def settings(a: int = 1, b: str = "x", c: float | None = None, d: tuple[int, ...] = ()) -> None:
    """A program.

    Args:
        a: a number
        b: a word
        c: another
        d: several
    """


def configuration(data: bytes, folder: Path) -> None:
    (folder / "c.yaml").write_bytes(data)
    sys.argv = ["program.py", "--config", str(folder / "c.yaml")]
    try:
        program.main(settings)
    except SystemExit as ended:
        if not isinstance(ended.code, str) or "\n" in ended.code:
            raise AssertionError(f"no sentence: {ended.code!r}") from None


def json_file(data: bytes, folder: Path) -> None:
    (folder / "step.json").write_bytes(data)
    Step(folder / "step.json", {"a": 1}, [], []).is_done()
    read_json(folder / "step.json")


def lists(data: bytes, folder: Path) -> None:
    (folder / "tokens.txt").write_bytes(data)
    for read in (read_tokens, read_vocabulary):
        try:
            read(folder / "tokens.txt")
        except InputError:
            pass


# Checkpoints.


def safetensors_file(data: bytes, folder: Path) -> None:
    from salience.models.mask_generator import load_generator

    (folder / "config.json").write_text('{"channels": [1, 2, 2, 2, 1], "kernel": 5}')
    (folder / "model.safetensors").write_bytes(data)
    load_generator(folder)


def safetensors_seeds() -> list[bytes]:
    from safetensors.torch import save

    from salience.models.mask_generator import MaskGenerator

    return [save({name: value.contiguous() for name, value in MaskGenerator().state_dict().items()})]


def model_sizes(data: bytes, folder: Path) -> None:
    """config.json of the three kinds of models that are built by it, with weights that fit the seeds."""
    from salience.models.accent_classifier import load_classifier
    from salience.models.keywords import load_recogniser
    from salience.models.mask_estimator import load_estimator

    for load, weights in zip((load_classifier, load_recogniser, load_estimator), _weights(), strict=True):
        (folder / "config.json").write_bytes(data)
        (folder / "model.safetensors").write_bytes(weights)
        try:
            load(folder)
        except InputError:
            pass


_made: list[bytes] = []
_configs: list[bytes] = []


def _weights() -> list[bytes]:
    if not _made:
        from salience.models.accent_classifier import save_classifier
        from salience.models.accent_cnn import AccentCNN, AccentCNNConfig
        from salience.models.keyword_network import KeywordNetwork, KeywordNetworkConfig
        from salience.models.keywords import save_recogniser
        from salience.models.mask_estimator import MaskEstimator, MaskEstimatorSizes, save_estimator

        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            save_classifier(
                AccentCNN(AccentCNNConfig(frames=16, bins=16, channels=(2, 2, 2, 2), hidden=2, classes=("a", "b"))),
                place / "0",
            )
            save_recogniser(
                KeywordNetwork(KeywordNetworkConfig(("a", "b"), window=16, hop=8, blocks=1, kernel=3)), place / "1"
            )
            save_estimator(MaskEstimator(MaskEstimatorSizes(64, 16, 2, 3, 8, 4, 2)), place / "2")
            _made.extend((place / n / "model.safetensors").read_bytes() for n in "012")
            _configs.extend((place / n / "config.json").read_bytes() for n in "012")
    return _made


def model_sizes_seeds() -> list[bytes]:
    _weights()
    return list(_configs)


def torch_file(data: bytes, folder: Path) -> None:
    from salience.models.whisper import load_model

    (folder / "m.pt").write_bytes(data)
    load_model(str(folder / "m.pt"))


def ctranslate2_file(data: bytes, folder: Path) -> None:
    from salience.models.whisper import load_model

    (folder / "model.bin").write_bytes(data)
    load_model(str(folder))


def ctranslate2_seeds() -> list[bytes]:
    """A Whisper of one layer a side, two bins and three tokens, all of zeros."""
    name = lambda text: struct.pack("<H", len(text) + 1) + text.encode() + b"\0"  # noqa: E731
    layer = {
        "self_attention/linear_0": (12, 4),
        "self_attention/linear_1": (4, 4),
        "ffn/linear_0": (16, 4),
        "ffn/linear_1": (4, 16),
    }
    cross = {"attention/linear_0": (4, 4), "attention/linear_1": (8, 4), "attention/linear_2": (4, 4)}
    shapes: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (4, 2, 3),
        "encoder/conv1/bias": (4,),
        "encoder/conv2/weight": (4, 4, 3),
        "encoder/conv2/bias": (4,),
        "decoder/embeddings/weight": (3, 4),
        "encoder/num_heads": (),
        "decoder/num_heads": (),
    }
    for side, linears in (("encoder", layer), ("decoder", layer | cross)):
        shapes[f"{side}/position_encodings/encodings"] = (2, 4)
        for place, shape in linears.items():
            shapes |= {f"{side}/layer_0/{place}/weight": shape, f"{side}/layer_0/{place}/bias": shape[:1]}
        norms = [f"layer_0/{part}/" for part in dict.fromkeys(place.split("/")[0] for place in linears)]
        shapes |= {f"{side}/{place}layer_norm/{kind}": (4,) for place in ["", *norms] for kind in ("gamma", "beta")}
    content = struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<II", 3, len(shapes))
    for key, shape in shapes.items():
        value = np.zeros(shape, np.float32) if shape else np.ones((), np.int16)
        content += name(key) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
        content += struct.pack("<BI", 0 if shape else 2, value.nbytes) + value.tobytes()
    return [content + struct.pack("<I", 1) + name("decoder/projection/weight") + name("decoder/embeddings/weight")]


def huggingface_config(data: bytes, folder: Path) -> None:
    from safetensors.torch import save_file
    from torch import zeros_like
    from whisper.model import ModelDimensions

    from salience.models.whisper import open_model
    from salience.models.whisper_formats import huggingface_name, sketch

    (folder / "config.json").write_bytes(data)
    # Those of the sizes below.
    weights = sketch(ModelDimensions(2, 2, 4, 1, 1, 3, 2, 4, 1, 1)).state_dict()
    save_file(
        {huggingface_name(name): zeros_like(tensor) for name, tensor in weights.items()}, folder / "model.safetensors"
    )
    open_model(str(folder))


HUGGINGFACE_CONFIG = b"""{"model_type": "whisper", "d_model": 4, "max_source_positions": 2, "num_mel_bins": 2,
"vocab_size": 3, "encoder_attention_heads": 1, "encoder_layers": 1, "max_target_positions": 2,
"decoder_attention_heads": 1, "decoder_layers": 1}"""


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def torch_seeds() -> list[bytes]:
    import torch
    from whisper.model import ModelDimensions, Whisper

    dims = {
        "n_mels": 2,
        "n_audio_ctx": 2,
        "n_audio_state": 4,
        "n_audio_head": 1,
        "n_audio_layer": 1,
        "n_vocab": 3,
        "n_text_ctx": 2,
        "n_text_state": 4,
        "n_text_head": 1,
        "n_text_layer": 1,
    }
    written = []
    for content, zipped in (
        ({"dims": dims, "model_state_dict": Whisper(ModelDimensions(**dims)).state_dict()}, True),
        ({"dims": dims, "model_state_dict": {"a": torch.zeros(1)}}, True),
        ({"dims": dims, "model_state_dict": {"a": torch.zeros(1)}}, False),
        ({"dims": _Evil()}, True),
        ({"dims": _Evil()}, False),
    ):
        handle = io.BytesIO()
        torch.save(content, handle, _use_new_zipfile_serialization=zipped)
        written.append(handle.getvalue())
    return written


def wav2vec_config(data: bytes, folder: Path) -> None:
    from transformers import Wav2Vec2ForCTC

    from salience.models.wav2vec import load_trained

    (folder / "config.json").write_bytes(data)
    (folder / "model.safetensors").write_bytes(safetensors_seeds()[0])
    load_trained(folder, Wav2Vec2ForCTC)


# Archives of corpora.


def unpacked(data: bytes, folder: Path) -> None:
    (folder / "archive").write_bytes(data)
    most = 4 << 20
    try:
        download.unpack(folder / "archive", folder / "out", most)
    finally:
        total = 0
        for place, folders, names in os.walk(folder):
            for name in (*folders, *names):
                path = os.path.join(place, name)
                assert not os.path.islink(path) and (os.path.isdir(path) or os.path.isfile(path)), (
                    f"{path} is a link or a device"
                )
                total += os.lstat(path).st_size if name in names else 0
        assert total <= most + len(data) and sorted(os.listdir(folder)) in (["archive"], ["archive", "out"])


def tar_seeds() -> list[bytes]:
    written = []
    for mode, form in (
        ("w", tarfile.GNU_FORMAT),
        ("w", tarfile.PAX_FORMAT),
        ("w", tarfile.USTAR_FORMAT),
        ("w:gz", tarfile.GNU_FORMAT),
        ("w:xz", tarfile.PAX_FORMAT),
    ):
        handle = io.BytesIO()
        with tarfile.open(fileobj=handle, mode=mode, format=form) as tar:
            for name, kind, target in (
                ("d", tarfile.DIRTYPE, ""),
                ("d/f", tarfile.REGTYPE, ""),
                ("l", tarfile.SYMTYPE, "d/f"),
                ("h", tarfile.LNKTYPE, "d/f"),
                ("e", tarfile.SYMTYPE, "../../e"),
                ("dev", tarfile.CHRTYPE, ""),
            ):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, target
                member.size = 3 if kind == tarfile.REGTYPE else 0
                if form == tarfile.PAX_FORMAT:
                    member.pax_headers = {"comment": "\u00e9" * 20}
                if name in ("e", "dev") and form == tarfile.USTAR_FORMAT:
                    continue
                tar.addfile(member, io.BytesIO(b"abc"))
        # tarfile fills archives up with zeros, which mutations would waste their time on.
        content = handle.getvalue()
        written.append(content.rstrip(b"\0") + bytes(1024) if mode == "w" else content)
    return written


def zip_seeds() -> list[bytes]:
    written = []
    for method, last in ((zipfile.ZIP_STORED, "g"), (zipfile.ZIP_DEFLATED, "g"), (zipfile.ZIP_STORED, "d/../x")):
        handle = io.BytesIO()
        with zipfile.ZipFile(handle, "w", method) as archived:
            archived.writestr("d/", b"")
            archived.writestr("d/f", b"abc" * 20)
            archived.writestr(last, b"abc")
        written.append(handle.getvalue())
    return written


# Audio.


def audio(data: bytes, folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(data)
    try:
        audio_duration(path)
    except InputError:
        pass
    samples = read_audio(path, RATE)
    assert samples.ndim == 1 and len(samples)


def audio_of(*forms: tuple[str, str | None, int, int]) -> Callable[[], list[bytes]]:
    return lambda: [sound(*form) for form in forms]


def mp3_seeds() -> list[bytes]:
    """With a Xing frame and without, behind and before tags, two joined."""
    with_xing, piped = sound("MP3", None, 8000, 1), encoded("mp3", "libmp3lame", write_xing="0")
    return [with_xing, piped, b"ID3\4\0\0\0\0\0\5" + bytes(5) + piped + b"TAG" + bytes(125), with_xing + piped]


def mp4_seeds() -> list[bytes]:
    return [encoded("mp4", "aac")]


def encoded(form: str, codec: str, **options: str) -> bytes:
    """Half a second of noise, by FFmpeg."""
    import av

    handle = io.BytesIO()
    with av.open(handle, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        noise = 0.1 * np.random.default_rng(0).standard_normal((1, RATE // 2)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return handle.getvalue()


LONG = "9" * 5000
WHITE = (b"\t", b"\r", b"\r\n", b"\v", b"\x1f", "\u00a0".encode(), "\ufeff".encode(), b"../", b"/", b" ")
"""What others take for white space, and what leads out of a folder."""

TARGETS = {
    "table": Target(table, lambda: [b"a x\nb y z\n", "a-1 \u0633\u0644\u0627\u0645 \u200c\nb\n".encode()], 16),
    "rows": Target(rows, lambda: [b"a x\nb\ty \t z\n", "a \u00e9\nb\n".encode()], 12, WHITE),
    "mended": Target(mended, lambda: DIRECTORY, 3, (*WHITE, CUT)),
    "data_directory": Target(data_directory, lambda: DIRECTORY, 6, (b"nan", b"inf", b"1e999", b"-1", CUT)),
    "validation": Target(validation, lambda: DIRECTORY, 3, (b"nan", b"inf", b"<s>", CUT)),
    "transforms": Target(transformed, lambda: DIRECTORY, 1, (CUT,)),
    "wav_scp": Target(
        wav_scp,
        lambda: [b"r1 r1.wav\n", b"r1 touch executed |\n", b"r1 -\n", b"r1 /dev/zero\n"],
        10,
        (b"|", b"/dev/stdin", b"a" * 300),
    ),
    "common_voice_first_release": Target(
        common_voice_first_release, lambda: [FIRST_CV.encode()], 8, (b",", b'"', LONG.encode())
    ),
    "common_voice": Target(common_voice_tables, lambda: joined(*CV), 8, (b"\t", LONG.encode(), "\u00b2".encode(), CUT)),
    "edacc": Target(edacc_files, lambda: EDACC, 6, (b"nan", b"inf", b'"', b"\r", b"\0", CUT)),
    "an4": Target(an4_files, lambda: AN4, 4, (b"..", b"/", b"a" * 300, CUT)),
    "speech_commands": Target(
        commands_lists, lambda: joined("yes/aa_nohash_0.wav\n", "yes/ab_nohash_0.wav\n"), 6, (b"_nohash_", CUT)
    ),
    "fsdd": Target(
        fsdd_metadata,
        lambda: [b"metadata = {\n 'jackson': {'gender': 'male', 'accent': 'USA/neutral', 'language': 'english'},\n}\n"],
        4,
        (b"{[]: 1}", b"(" * 300, LONG.encode()),
    ),
    "librispeech": Target(
        librispeech_files,
        lambda: joined("; x\n84 | F | dev-clean | 8 | A | B\n", "84-121-0000 GO DO\n"),
        4,
        (b"/", b"a" * 300, CUT),
    ),
    "pdid": Target(pdid_metadata, lambda: [PDID.encode()], 6, (b"\t", b"nan", b"..", b"a" * 300)),
    "own_table": Target(own_table, lambda: [OWN], 6, (b",", b'"', b"\n", b"nan", b"/", b"..", b"a" * 300)),
    "lhotse": Target(lhotse, manifests, 6, (b"{", b"[", b"null", b"1e999", b'"MultiCut"', b"[0, 1]", b"-1", CUT)),
    "archive": Target(archive, matrices, 12, (b"\0B", b"FM ", b"CM ", b"PKL", b"NPY", b"\xff\xff\xff\x7f")),
    "scp": Target(
        scp,
        lambda: [
            b"key a.ark:4\nk2 a.ark:4[0:2]\nk3 a.ark:4[0:1,1:2]\n",
            b"key a.ark\nk2 a.ark[0:2,:]\nk3\ta:b.ark:4\n",
            b"key touch executed |\n",
            b"key -\n",
            b"key /dev/zero:3\n",
        ],
        5,
        (b"|", b"[", b":", LONG.encode()),
    ),
    "packed": Target(packed, packed_seeds, 4, (CUT, b"-1", LONG.encode())),
    "yaml": Target(yaml_file, lambda: YAML, 5, (b"!!python/name:os.system", b"&a", b"*a", b"[" * 400, LONG.encode())),
    "configuration": Target(
        configuration, lambda: [b"a: 3\nb: y\nc: 1.5\nd: [1, 2]\n", *YAML], 1, (b"&a", b"*a", LONG.encode())
    ),
    "json": Target(json_file, lambda: [b'{"config": {"a": 1}, "inputs": {}}', b"[1]"], 4, (b"[" * 2000, LONG.encode())),
    "lists": Target(lists, lambda: [b"<blank>\n<unk>\na\n<sos/eos>\n", b"[PAD]\n[UNK]\n|\na\n"], 6),
    "safetensors": Target(safetensors_file, safetensors_seeds, 3, (b"F32", b"U8", b"[0,", b"9" * 20)),
    "model_sizes": Target(model_sizes, model_sizes_seeds, 0.6, (b"999999999", b"-1", b"0", b"null", b"[]")),
    "torch": Target(torch_file, torch_seeds, 0.2),
    "ctranslate2": Target(
        ctranslate2_file, ctranslate2_seeds, 1, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"layer_9", b"_scale")
    ),
    "huggingface_config": Target(
        huggingface_config, lambda: [HUGGINGFACE_CONFIG], 0.1, (b"999999999", b"-1", b"null", b"[]", b"1e9")
    ),
    "wav2vec_config": Target(
        wav2vec_config,
        lambda: [b'{"model_type": "wav2vec2", "num_hidden_layers": 1, "hidden_size": 4}'],
        0.05,
        (b"99999999999", b"-1", b"null", b"[]"),
    ),
    "tar": Target(
        unpacked,
        tar_seeds,
        8,
        (b"../", b"\x80\0\0\0\0\0\0\0", b"\xff" * 12, b"77777777777\0", b"ustar\x0000", b"20 size=-512\n"),
    ),
    "zip": Target(unpacked, zip_seeds, 5, (b"../", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")),
    "wav": Target(
        audio,
        audio_of(("WAV", "PCM_16", 8000, 1), ("WAV", "FLOAT", 8000, 2), ("WAV", "MS_ADPCM", 8000, 1)),
        4,
        (b"data", b"fmt ", b"\xff\xff\xff\xff"),
    ),
    "sphere": Target(
        audio, audio_of(("NIST", "PCM_16", 8000, 1), ("NIST", "ULAW", 8000, 1)), 4, (b"sample_count -i ", b"9" * 30)
    ),
    "flac": Target(audio, audio_of(("FLAC", "PCM_16", 8000, 1)), 2, (b"\xff" * 5,)),
    "mp3": Target(audio, mp3_seeds, 2, (b"\xff\xfb", b"Xing", b"ID3", b"TAG")),
    "ogg": Target(
        audio, audio_of(("OGG", "VORBIS", 8000, 1), ("OGG", "OPUS", 8000, 1)), 2, (b"OggS", b"\2\0", b"\xff" * 5)
    ),
    "mp4": Target(audio, mp4_seeds, 2, (b"mdat", b"moov", b"\0\0\0\1", b"\xff\xff\xff\xff")),
}
