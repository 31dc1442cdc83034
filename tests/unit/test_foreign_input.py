"""Nothing comes in with a corpus or a model: no code, no more memory than there is, no path outside, no traceback.

Each class of fault that fuzzing found has its test here.
"""

import io
import os
import pickle
import tarfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from accent_helpers import classifier, run_program

from salience.audio import audio_duration, read_audio
from salience.corpora import common_voice, download, edacc, fsdd
from salience.corpora.speech_commands import WORDS
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.normalisers import apply, normaliser
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import Archive, archive_bytes
from salience.files import read_json, read_yaml, require_space
from salience.models.accent_classifier import load_classifier, save_classifier
from salience.models.checkpoints import build
from salience.models.keywords import load_recogniser
from salience.models.mask_estimator import load_estimator
from salience.models.mask_generator import load_generator
from salience.models.published_keyword import read_published
from salience.models.wav2vec import load_trained
from salience.models.whisper import load_model, new_model, save_model
from salience.report.charts import Chart, rates_chart
from salience.report.page import html
from salience.report.sections import Report, Section
from salience.report.tables import Table
from salience.steps import Step, fingerprint

TOP = Path(__file__).resolve().parents[2]


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def executed(tmp_path):
    """The file that malicious data would touch; after the test it must not be there."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


def test_the_malicious_object_works(tmp_path):
    """Otherwise the tests below would prove nothing."""
    pickle.loads(pickle.dumps(Evil(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()


# Models.


def whisper_file(folder: Path) -> None:
    load_model(str(folder / "model.pt"))


def wav2vec_bin(folder: Path) -> None:
    from transformers import Wav2Vec2ForCTC

    (folder / "config.json").write_text('{"model_type": "wav2vec2"}')
    (folder / "model.pt").rename(folder / "pytorch_model.bin")
    load_trained(folder, Wav2Vec2ForCTC)


def espnet_model(folder: Path) -> None:
    from salience.models.espnet import read_config

    (folder / "config.yaml").write_text("input_size: 80\n")
    (folder / "model.pt").rename(folder / "model.pth")
    read_config(folder)


def espnet_checkpoint(folder: Path) -> None:
    from salience.training.espnet import _states

    (folder / "model.pt").rename(folder / "checkpoint.pth")
    _states(folder)


def published_checkpoint(folder: Path) -> None:
    read_published(folder / "model.pt", WORDS)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("load", [whisper_file, wav2vec_bin, espnet_model, espnet_checkpoint, published_checkpoint])
def test_a_pickle_in_a_checkpoint_is_not_run(tmp_path, executed, load, zipped):
    torch.save(
        {"dims": {}, "model_state_dict": Evil(executed)}, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)


@pytest.mark.parametrize("load", [load_classifier, load_recogniser, load_generator, load_estimator])
def test_a_pickle_instead_of_safetensors_is_not_run(tmp_path, executed, load):
    (tmp_path / "config.json").write_text('{"channels": [1, 2, 2, 2, 1], "words": ["a"], "classes": ["a"]}')
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Evil(executed)))
    with pytest.raises(InputError, match="holds no|does not hold"):
        load(tmp_path)


@pytest.mark.parametrize("config", ["[]", "{}", "null", '{"classes": 5}', '{"words": 7}', "[" * 100_000, "9" * 5000])
@pytest.mark.parametrize("load", [load_classifier, load_recogniser, load_generator, load_estimator])
def test_settings_of_a_model_that_are_none(tmp_path, load, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError):
        load(tmp_path)


def test_sizes_that_the_weights_do_not_have_take_no_memory(tmp_path):
    """A checkpoint of a kilobyte that claims a billion units or layers."""
    save_classifier(classifier(2, frames=48), tmp_path)
    config = read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(
        str(config | {"hidden": 10**9, "classes": ["a", "b"]})
        .replace("'", '"')
        .replace("(", "[")
        .replace("False", "false")
    )
    with pytest.raises(InputError, match="holds no accent classifier"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("name", ["n_vocab", "n_audio_state", "n_audio_layer", "n_text_ctx"])
def test_a_whisper_that_claims_to_be_huge(tmp_path, name):
    dims = {
        "n_mels": 2,
        "n_audio_ctx": 2,
        "n_audio_state": 4,
        "n_audio_head": 1,
        "n_audio_layer": 1,
        "n_vocab": 3,
        "n_text_ctx": 2,
    }
    dims |= {"n_text_state": 4, "n_text_head": 1, "n_text_layer": 1}
    from whisper.model import ModelDimensions

    model = new_model(ModelDimensions(**dims), 1)
    save_model(model, tmp_path / "model.pt")
    assert asdict(load_model(str(tmp_path / "model.pt")).dims) == dims
    torch.save({"dims": dims | {name: 10**9}, "model_state_dict": model.state_dict()}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="is no Whisper checkpoint"):
        load_model(str(tmp_path / "model.pt"))


def test_weights_that_repeat_one_value_are_none():
    """A tensor of any size may stand on four bytes."""
    with pytest.raises(ValueError, match="fewer values than it says"):
        build(lambda: torch.nn.Linear(100, 100, bias=False), {"weight": torch.zeros(1).expand(100, 100)})


def test_a_model_of_too_many_layers_is_not_built(tmp_path):
    from transformers import Wav2Vec2ForCTC

    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2", "num_hidden_layers": 1000000000}')
    with pytest.raises(InputError, match="holds no checkpoint that can be read"):
        load_trained(tmp_path, Wav2Vec2ForCTC)


# Archives.


def test_marked_pickles_commands_and_devices_in_archives(tmp_path, executed):
    kaldiio.save_ark(str(tmp_path / "good.ark"), {"key": np.ones((3, 2), np.float32)})
    (tmp_path / "evil.ark").write_bytes(b"key PKL" + pickle.dumps(Evil(executed)))
    objects = io.BytesIO()
    np.save(objects, np.array([Evil(executed)], dtype=object), allow_pickle=True)
    (tmp_path / "objects.ark").write_bytes(
        b"key NPY\x02" + len(objects.getvalue()).to_bytes(2, "big") + objects.getvalue()
    )
    os.mkfifo(tmp_path / "pipe")
    scp = tmp_path / "feats.scp"
    for specifier, word in (
        (f"{tmp_path}/evil.ark:4", "no matrix"),
        (f"{tmp_path}/objects.ark:4", "no matrix"),
        (f"touch {executed} |", "which is not run"),
        (f"| touch {executed}", "which is not run"),
        ("-", "does not exist"),
        ("/dev/zero:0", "does not exist"),
        (f"{tmp_path}/pipe:4", "does not exist"),
        (f"{tmp_path}/good.ark:" + "9" * 30, "is corrupt"),
        (f"{tmp_path}/good.ark:-5", "is corrupt"),
        (f"{tmp_path}/good.ark:4[5:9]", r"asks for rows 5 to 9, and the matrix has rows 0 to 2; correct the range"),
        ("a" * 5000, "does not exist"),
        ("a\0b:4", "does not exist"),
    ):
        scp.write_text(f"key {specifier}\n")
        fingerprint(scp)
        with pytest.raises(InputError, match=word):
            Archive(scp)["key"]
    scp.write_text(f"key {tmp_path}/good.ark:4[0:1,1:1]\n")
    assert Archive(scp)["key"].shape == (2, 1)


@pytest.mark.parametrize("rows", [2**31 - 1, -1, -(2**31)])
def test_a_matrix_larger_than_its_file(tmp_path, rows):
    (tmp_path / "a.ark").write_bytes(
        b"key \0BFM \4" + (rows % 2**32).to_bytes(4, "little") + b"\4" + (2**31 - 1).to_bytes(4, "little") + b"x" * 50
    )
    (tmp_path / "a.scp").write_text(f"key {tmp_path}/a.ark:4\n")
    with pytest.raises(InputError, match="is corrupt"):
        Archive(tmp_path / "a.scp")["key"]


def test_packed_signals_that_are_none(tmp_path, executed):
    (tmp_path / "utterances").write_text("a 0 1\n")
    np.save(tmp_path / "signals.npy", np.array([Evil(executed)], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="holds no packed signals"):
        read_packed(tmp_path)
    np.save(tmp_path / "signals.npy", np.zeros(4, np.int16))
    assert len(read_packed(tmp_path)) == 1
    for line, word in (
        ("a 0 9\n", "is shorter"),
        ("a -1 2\n", "below 0"),
        (f"a 0 {'9' * 30}\n", "no list of places"),
        ("a x y\n", "no list of places"),
    ):
        (tmp_path / "utterances").write_text(line)
        with pytest.raises(InputError, match=word):
            read_packed(tmp_path)


# Recordings.


@pytest.mark.parametrize("value", ["touch {} |", "touch {}|", "-", "/dev/zero", "a" * 5000, "a\0b", "/"])
def test_what_is_no_recording_is_not_opened(tmp_path, executed, value):
    (tmp_path / "wav.scp").write_text(f"a-1 {value.format(executed)}\n")
    (tmp_path / "utt2spk").write_text("a-1 a\n")
    path = read_data_dir(tmp_path)[0].audio
    with pytest.raises(
        InputError,
        match="is a command"
        if "|" in value
        else "is not a regular file"
        if value in ("/", "/dev/zero")
        else "does not exist",
    ):
        read_audio(path, 16000)


def test_commands_of_a_wav_scp_are_run_only_when_allowed(tmp_path, monkeypatch, caplog):
    source, target = tmp_path / "kaldi", tmp_path / "plain"
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    source.mkdir()
    (source / "wav.scp").write_text(f"a-1 cat {tmp_path}/a.wav |\na-2 {tmp_path}/a.wav\n")
    (source / "utt2spk").write_text("a-1 a\na-2 a\n")
    caplog.set_level("INFO")
    with pytest.raises(SystemExit, match=r"holds 1 commands, shown above; run them with --allow true") as ended:
        run_program(monkeypatch, "run_wav_commands", source=source, target=target)
    assert "\n" not in ended.value.code and not target.exists() and f"a-1: cat {tmp_path}/a.wav" in caplog.text
    run_program(monkeypatch, "run_wav_commands", source=source, target=target, allow=True)
    assert [len(read_audio(u.audio, 16000)) for u in read_data_dir(target)] == [1600, 1600]
    (source / "wav.scp").write_text("a-1 false |\na-2 x\n")
    with pytest.raises(SystemExit, match="the command of a-1 ended with 1"):
        run_program(monkeypatch, "run_wav_commands", source=source, target=tmp_path / "third", allow=True)


def test_audio_of_commands_is_kept_only_for_the_same_recording_and_command(tmp_path, monkeypatch, caplog):
    source, target = tmp_path / "kaldi", tmp_path / "plain"
    source.mkdir()
    for n in range(1, 5):
        soundfile.write(tmp_path / f"{n}.wav", np.zeros(n * 1600), 16000)

    def durations(*lines: str, tables: dict[str, str] | None = None) -> dict[str, float]:
        """Tenths of a second of each recording that the program has written from these lines, and what it ran."""
        for path in source.iterdir():
            path.unlink()
        for name, text in {"wav.scp": "".join(f"{line}\n" for line in lines), **(tables or {})}.items():
            (source / name).write_text(text.replace("{}", str(tmp_path)))
        caplog.clear()
        run_program(monkeypatch, "run_wav_commands", source=source, target=target, allow=True)
        found = {key: round(10 * audio_duration(Path(path))) for key, path in read_table(target / "wav.scp").items()}
        assert sorted(map(str, (target / "audio").iterdir())) == sorted(set(read_table(target / "wav.scp").values()))
        return found

    caplog.set_level("INFO")
    lines = ["r1 cat {}/1.wav |", "r2 cat {}/2.wav |", "r3 cat {}/3.wav |"]
    assert durations(*lines, tables={"utt2spk": "r1 s\n", "utt2dur": "r1 0.1\n", "text": "r1 yes\n"}) == {
        "r1": 1,
        "r2": 2,
        "r3": 3,
    }
    # A line is removed, one is added before the others, one has another command, and two tables are no more.
    assert durations(lines[1], lines[2], tables={"utt2spk": "r2 s\n"}) == {"r2": 2, "r3": 3}
    assert "ran 0 commands, kept the audio of 2, removed 1 files" in caplog.text
    assert (
        sorted(path.name for path in target.iterdir()) == ["audio", "utt2spk", "wav.scp"]
        and (target / "utt2spk").read_text() == "r2 s\n"
    )
    assert durations("r0 cat {}/4.wav |", lines[1], lines[2].replace("3.wav", "1.wav")) == {"r0": 4, "r2": 2, "r3": 1}
    assert "ran 2 commands, kept the audio of 1" in caplog.text
    # An empty file, and what an earlier version named by number.
    kept = Path(read_table(target / "wav.scp")["r2"])
    kept.write_bytes(b"")
    soundfile.write(target / "audio" / "0000000.wav", np.zeros(1600), 16000)
    assert durations(lines[1]) == {"r2": 2} and "ran 1 commands" in caplog.text


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("true", "the command of r1 wrote nothing"),
        ("echo no", "the command of r1 wrote no audio"),
        ("echo no; false", "ended with 1"),
    ],
)
def test_what_commands_fail_to_write_is_not_kept(tmp_path, monkeypatch, command, word):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/wav.scp").write_text(f"r1 {command} |\n")
    with pytest.raises(SystemExit, match=word) as ended:
        run_program(monkeypatch, "run_wav_commands", source=tmp_path / "source", target=tmp_path / "target", allow=True)
    assert "\n" not in ended.value.code and [path.name for path in (tmp_path / "target").rglob("*")] == ["audio"]


def test_a_rate_that_is_none(tmp_path):
    """Resampled from 1 Hz to 16 kHz, a megabyte of samples takes 64 GB."""
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 1)
    with pytest.raises(InputError, match="has a rate of 1 Hz"):
        read_audio(tmp_path / "a.wav", 16000)


def test_a_header_that_promises_more_than_memory(tmp_path):
    """FLAC's header: 36 bits of samples, of which the file holds 1600."""
    soundfile.write(tmp_path / "a.flac", np.zeros(1600), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    (tmp_path / "a.flac").write_bytes(data)
    assert soundfile.info(tmp_path / "a.flac").frames > 2**35
    for read in (audio_duration, lambda path: read_audio(path, 16000)):
        with pytest.raises(InputError):
            read(tmp_path / "a.flac")


def test_a_sphere_header_whose_length_is_no_number(tmp_path):
    soundfile.write(tmp_path / "a.sph", np.zeros(1600), 16000, format="NIST", subtype="PCM_16")
    data = (tmp_path / "a.sph").read_bytes()
    (tmp_path / "a.sph").write_bytes(data[:8] + b"  10\xff4\n" + data[15:])
    try:
        audio_duration(tmp_path / "a.sph")
    except InputError:
        pass


# Tables and settings.


@pytest.mark.parametrize("value", ["nan", "inf", "x", "-1", "1e300"])
@pytest.mark.parametrize("name", ["segments", "utt2dur"])
def test_seconds_that_are_none(tmp_path, name, value):
    (tmp_path / "utt2spk").write_text("a-1 a\n")
    (tmp_path / "wav.scp").write_text("a-1 a.wav\n")
    (tmp_path / name).write_text(f"a-1 a-1 0 {value}\n" if name == "segments" else f"a-1 {value}\n")
    with pytest.raises(InputError, match=f"{name}: a-1"):
        read_data_dir(tmp_path)


@pytest.mark.parametrize("table", [{"a b": "x"}, {"": "x"}, {"a": "x\nb y"}, {"a\u2028b": "x"}, {"a\n": "x"}])
def test_a_table_that_nobody_could_read_back(tmp_path, table):
    """An id or a text from a corpus must not become a second line."""
    with pytest.raises(InputError, match="cannot hold"):
        write_table(tmp_path / "text", table)
    assert not (tmp_path / "text").exists()


def test_ids_that_sort_unlike_their_speakers(tmp_path):
    """Kaldi wants utt2spk sorted by utterance and by speaker; nothing is written that is not."""

    def of(*ids):
        return [Utterance(key, key.split("_")[0].split("-")[0], tmp_path / "a.wav", "x", 1.0, key) for key in ids]

    with pytest.raises(
        InputError, match="the utterance 13_0 of 13 comes before 1_0 of 1, but their speakers the other way round"
    ):
        write_data_dir(tmp_path / "data", of("1_0", "13_0"))
    assert not (tmp_path / "data" / "utt2spk").exists()
    write_data_dir(tmp_path / "data", of("13-0", "1-0"))
    assert (tmp_path / "data" / "utt2spk").read_text() == "1-0 1\n13-0 13\n"


@pytest.mark.parametrize("milliseconds", ["\u00b2", "9" * 5000, "nan", "-1", ""])
def test_lengths_of_clips_that_are_none(tmp_path, milliseconds):
    (tmp_path / "clip_durations.tsv").write_text(f"clip\tduration[ms]\na.mp3\t{milliseconds}\n")
    with pytest.raises(InputError, match=":2 is not a clip and its milliseconds"):
        common_voice.durations(tmp_path)


def test_answers_that_are_no_table(tmp_path):
    (tmp_path / "linguistic_background.csv").write_text('PARTICIPANT_ID,"' + "x" * 200_000 + '"\n')
    with pytest.raises(InputError, match="is not separated by commas"):
        edacc.background(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "metadata = {[]: 1}",
        "metadata = " + "(" * 500,
        "metadata = " + "[" * 150 + "]" * 150,
        "metadata = {'a': {'b': 1}}[0]",
        "\0",
    ],
)
def test_metadata_that_is_no_dictionary(tmp_path, text):
    (tmp_path / "metadata.py").write_text(text)
    with pytest.raises(InputError, match="does not assign a plain dictionary"):
        fsdd.speakers(tmp_path)


def test_an_answer_of_several_lines_is_told_in_one(tmp_path):
    header = "PARTICIPANT_ID,How would you describe your accent in English?,What is your gender?\n"
    (tmp_path / "linguistic_background.csv").write_text(header + '"\nE"\n')
    with pytest.raises(InputError, match="has 1 fields instead of 3") as caught:
        edacc.background(tmp_path)
    assert "\n" not in str(caught.value)


BOMB = "x0: &x0 [1,1,1,1,1,1,1,1,1]\n" + "".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]\n",
        "a: !!python/object/apply:os.system ['true']\n",
        "a: " + "9" * 5000,
        "[" * 5000 + "]" * 5000,
        "a: [",
        b"\xff\xfe",
        "a: 2001-99-99",
    ],
)
def test_settings_that_are_none(tmp_path, monkeypatch, text):
    """Also through a program: one sentence, exit 1, at once."""
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError):
        read_yaml(path, "correct it")
    with pytest.raises(SystemExit) as ended:
        run_program(monkeypatch, "mask_features", config=path)
    assert isinstance(ended.value.code, str) and str(path) in ended.value.code and "\n" not in ended.value.code


def test_aliases_that_stand_for_little_are_read(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert read_yaml(tmp_path / "c.yaml", "") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("text", ["[1]", "null", '{"config": []}', "[" * 100_000, "{", '{"config": {}, "inputs": 3}'])
def test_a_record_that_is_none_is_made_anew(tmp_path, text):
    (tmp_path / "step.json").write_text(text)
    assert not Step(tmp_path / "step.json", {"a": 1}).is_done()


# Archives of corpora.


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, linkname
    return info


def test_more_than_an_archive_of_speech_can_hold(tmp_path):
    zeros = bytes(30 << 20)
    paths = [tar(tmp_path / "bomb.tar.gz", (member("a", len(zeros)), zeros), mode="w:gz"), tmp_path / "bomb.zip"]
    with zipfile.ZipFile(paths[1], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", zeros)
    for path in paths:
        with pytest.raises(InputError, match="unpacks to more than 10 MB"):
            download.unpack(path, tmp_path / f"out {path.name}", max_bytes=10_000_000)
        assert (
            sum(file.stat().st_size for file in (tmp_path / f"out {path.name}").rglob("*") if file.is_file())
            <= 10_000_000
        )


def test_more_files_than_a_disk_has_names_for(tmp_path):
    path = tar(tmp_path / "many.tar", *((member(f"d{n}", kind=tarfile.DIRTYPE), b"") for n in range(50)))
    with pytest.raises(InputError, match="unpacks to more than"):
        download.unpack(path, tmp_path / "out", max_bytes=30 * 1024)


@pytest.mark.parametrize("target", ["a", "b", "../x", "none", "d"])
def test_links_that_lead_nowhere_or_in_a_circle(tmp_path, target):
    links = [
        (member("a", kind=tarfile.SYMTYPE, linkname=target), b""),
        (member("b", kind=tarfile.LNKTYPE, linkname="a"), b""),
        (member("d", kind=tarfile.DIRTYPE), b""),
    ]
    with pytest.raises(InputError, match="holds the link"):
        download.unpack(tar(tmp_path / "a.tar", *links), tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_links_before_and_through_links(tmp_path):
    members = [
        (member("x/first", kind=tarfile.SYMTYPE, linkname="../second"), b""),
        (member("second", kind=tarfile.LNKTYPE, linkname="x/real"), b""),
        (member("x/real", 3), b"abc"),
    ]
    download.unpack(tar(tmp_path / "a.tar", *members), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == dict.fromkeys(
        ("first", "second", "real"), b"abc"
    )


@pytest.mark.parametrize(
    "members",
    [[("a", 1), ("a/b", 1)], [("a/b", 1), ("a", 1)], [("x" * 300, 1)], [("a/" * 3000, 1)], [(".", 1)]],
    ids=["below a file", "over a folder", "long", "deep", "top"],
)
def test_names_that_no_file_can_have(tmp_path, members):
    path = tar(tmp_path / "a.tar", *((member(name, size), b"x" * size) for name, size in members))
    with pytest.raises(InputError):
        download.unpack(path, tmp_path / "out")


def test_a_size_below_zero_ends(tmp_path):
    """CVE-2025-8194: tarfile goes back in the file for ever."""
    info = member("a", 512)
    info.pax_headers = {"size": "-1536"}
    path = tar(tmp_path / "a.tar", (info, b"x" * 512), (member("b", 1), b"x"))
    with pytest.raises(InputError, match="is truncated or not an archive"):
        download.unpack(path, tmp_path / "out")


def test_a_name_of_megabytes_is_not_read(tmp_path):
    path = tar(tmp_path / "a.tar.gz", (member("a" * 2_000_000, 1), b"x"), mode="w:gz")
    with pytest.raises(InputError, match="is truncated or not an archive"):
        download.unpack(path, tmp_path / "out")


def test_a_recorded_checksum_that_is_none(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"x")
    (tmp_path / "x.tar.sha256").write_bytes(b"")
    with pytest.raises(InputError, match="holds no checksum"):
        download.download(download.Archive("x.tar", ()), tmp_path, "--x-archive")


# The rest.


SCRIPT = "<script>alert(1)</script>"


def test_the_report_shows_what_corpora_hold_and_runs_none_of_it(tmp_path):
    """Names, accents, ids and texts of a corpus, wherever the page shows them."""
    (tmp_path / "a.png").write_bytes(b"png")
    hostile = f'{SCRIPT}" onload="alert(1)'
    table = Table(hostile, [hostile], [[hostile]], hostile)
    facts = [("command", hostile), (hostile, hostile)]
    section = Section(hostile, facts, [hostile], table, [table])
    report = Report(hostile, True, [hostile], table, [hostile], facts, [hostile], [section])
    page = html(
        report, [], "wer", f"{hostile}\n\n{hostile}", {hostile: [Chart(hostile, rates_chart())]}, [{"id": hostile}]
    )
    assert page.count("<script") == 3 and '" onload="' not in page  # data, library and our script
    assert page.count("&lt;script&gt;alert(1)") >= 13


def test_no_code_of_ours_reads_pickles_or_runs_data():
    """What could is written nowhere but where it is known to be safe."""
    allowed = {
        "torch.load(": {"local/salience/models/checkpoints.py"},
        "pickle.load": set(),
        "joblib": set(),
        "allow_pickle=True": set(),
        "yaml.load(": set(),
        "yaml.unsafe": set(),
        "load_scp": set(),
        "load_mat": set(),
        "load_ark": set(),
        "ReadHelper": set(),
        "shell=True": {"local/run_wav_commands.py"},
        "os.system": set(),
        "os.popen": set(),
        "extractall": set(),
        "trust_remote_code=True": set(),
        "weights_only=False": set(),
    }
    found: dict[str, set[str]] = {word: set() for word in allowed}
    for path in (path for place in ("local", "utils", "egs") for path in (TOP / place).rglob("*.py")):
        name = str(path.relative_to(TOP))
        if {"data", "dump", "exp", "downloads"}.intersection(Path(name).parts[:3]) and not name.startswith(
            "local/salience/"
        ):
            continue
        text = path.read_text(encoding="utf-8")
        for word in allowed:
            if word in text:
                found[word].add(name)
    assert {word: names - allowed[word] for word, names in found.items() if names - allowed[word]} == {}


def test_every_torch_file_is_read_as_weights_alone():
    text = (TOP / "local/salience/models/checkpoints.py").read_text()
    assert text.count("torch.load(") == text.count("weights_only=True") == 1


def test_maps_of_a_thousand_hours_are_refused_where_they_do_not_fit(tmp_path):
    frames = [1500] * 240_000
    needed = archive_bytes(frames, 80, compress=False)
    assert 1.15e11 < needed < 1.2e11
    with pytest.raises(
        InputError,
        match=r"^the maps need 115 GB in .*out, where 0 GB of them are and 50 GB are free; .* --check-space false$",
    ):
        require_space(tmp_path / "out", [], needed, "the maps", free=lambda _: 50 * 10**9)
    require_space(tmp_path / "out", [], needed, "the maps", free=lambda _: 120 * 10**9)


def test_what_is_written_already_needs_no_room_again(tmp_path):
    (tmp_path / "part").write_bytes(bytes(1000))
    require_space(tmp_path, [tmp_path], 1500, "the maps", free=lambda _: 500)
    with pytest.raises(InputError, match="the maps need"):
        require_space(tmp_path, [tmp_path], 1501, "the maps", free=lambda _: 500)


def test_an_archive_takes_no_more_than_estimated(tmp_path):
    from salience.features.archives import ArchiveWriter

    for compress in (True, False):
        with ArchiveWriter(tmp_path / "feats", compress) as writer:
            for number in range(20):
                writer.write(f"speaker-{number}", np.random.default_rng(number).random((50 + number, 80)))
        estimate = archive_bytes((50 + number for number in range(20)), 80, compress)
        written = sum((tmp_path / f"feats.{kind}").stat().st_size for kind in ("ark", "scp"))
        assert written <= estimate < written + 20 * 512


def test_many_texts_are_normalised_as_one_by_one(monkeypatch):
    monkeypatch.setattr("salience.data.normalisers.MANY", 10)
    function, _ = normaliser("whisper-basic")
    texts = [f"Hello, {n % 40} TIMES!" for n in range(100)]
    assert apply(function, texts) == [function(text) for text in texts]
