"""Bad input through the programs: one sentence, exit 1, no traceback, and what earlier steps wrote stays as it was."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import transformers
from accent_helpers import TINY, classifier, noise, run_program, talkative, write_features, write_set
from corpora_helpers import TOP, contents
from wav2vec_helpers import tiny

from salience.data.packed import pack
from salience.data.tables import read_table, write_table
from salience.features.archives import Archive
from salience.features.keywords import RATE, SAMPLES
from salience.files import read_json, write_json
from salience.models import mask_estimator, mask_generator, wav2vec
from salience.models.accent_classifier import save_classifier
from salience.models.whisper import load_model, new_model, save_model
from salience.training import finetuning

# A training that fails leaves TensorBoard's thread behind, whose folder these tests remove.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

KEYS = ("s1-a", "s1-b", "s2-a", "s2-b", "s3-a", "s3-b")
SECONDS = 0.4


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What stages 1 to 4 leave: audio, data directories, features, packed waveforms, models of all kinds."""
    folder = tmp_path_factory.mktemp("recipe")
    for name in ("train", "dev"):
        audio = {key: 0.1 * noise(n, round(16000 * SECONDS)) for n, key in enumerate(KEYS)}
        utterances = write_set(folder, name, audio)
        pack(folder / "packed" / name, utterances, RATE, SAMPLES)
        write_json(folder / "packed" / name / "step.json", {})
        write_features(folder, name, {key: noise(n, (40, 80)) for n, key in enumerate(KEYS)})
    save_classifier(classifier(2, frames=48), folder / "exp/classifier")
    save_model(talkative(1), folder / "whisper.pt")
    sizes = mask_estimator.MaskEstimatorSizes(
        window=128, hop=32, kernels=6, kernel_time=5, kernel_frequency=16, stride_frequency=8, hidden=10
    )
    mask_estimator.save_estimator(mask_estimator.MaskEstimator(sizes), folder / "exp/estimator")
    mask_generator.save_generator(mask_generator.MaskGenerator(), folder / "exp/generator")
    wav2vec.save_model(tiny(transformers.Wav2Vec2ForSequenceClassification, num_labels=2), folder / "exp/wav2vec")
    return folder


@pytest.fixture
def recipe(done, tmp_path, monkeypatch):
    """A copy to break, as the working directory."""
    shutil.copytree(done, tmp_path / "recipe", symlinks=True)
    monkeypatch.chdir(tmp_path / "recipe")
    for name in ("train", "dev"):
        for place in (Path("data", name), Path("data", name, "split1/1")):
            write_table(place / "wav.scp", {key: f"audio/{key}.wav" for key in KEYS})
        write_table(
            Path("dump", name, "feats.scp"),
            {
                key: specifier.replace(str(done), str(tmp_path / "recipe"))
                for key, specifier in read_table(Path("dump", name, "feats.scp")).items()
            },
        )
    return tmp_path / "recipe"


SYSTEMS = TOP / "egs/fsdd/conf/systems.yaml"
OPTIONS = {
    "extract_features": {"data": "data", "sets": "train", "out": "new"},
    "train_classifier": {
        "classifier": "cnn",
        "data": "data",
        "features": "dump",
        "out": "new",
        "train_set": "train",
        "dev_set": "dev",
        "test_sets": "dev",
        "sizes.frames": 48,
        "sizes.channels": "[2,2,2,2]",
        "sizes.hidden": 4,
        "training.epochs": 2,
        "training.batch_size": 3,
    },
    **{
        name: {"data": "data", "features": "dump", "sets": "train", "model": "exp/classifier", "out": "new"}
        for name in ("map_saliency", "measure_saliency")
    },
    "mask_features": {
        "data": "data",
        "features": "dump",
        "maps": "maps",
        "sets": "train",
        "systems": SYSTEMS,
        "only": "specaugment",
        "out": "new",
    },
    "finetune": {
        "recogniser": "whisper",
        "data": "data",
        "features": "dump",
        "out": "new",
        "model": "whisper.pt",
        "systems": SYSTEMS,
        "system": "specaugment",
        "train_set": "train",
        "dev_set": "dev",
        "training.epochs": 1,
        "training.batch_size": 6,
        "max_tokens": 2,
    },
    "decode": {
        "recogniser": "whisper",
        "models": "whisper.pt",
        "features": "dump",
        "sets": "train",
        "out": "new",
        "max_tokens": 2,
    },
    "export_whisper": {"model": "whisper.pt", "out": "new"},
    "check_whisper": {"model": "whisper.pt"},
    "estimate_noise_masks": {"data": "data", "sets": "train", "models": "exp/estimator", "out": "new"},
    "mix_noise": {
        "data": "data",
        "sets": "train",
        "out": "new/noise{realisation}",
        "realisations": "1 2",
        "audio": "true",
    },
    "pack_waveforms": {"data": "data", "sets": "train", "pad": "true", "out": "new"},
}


def model_option(program: str, model: object) -> dict[str, object]:
    return {"models" if program == "decode" else "model": model}


def says(monkeypatch, program, **options) -> str:
    """The one sentence that a program ends with, having left the recipe's files and nothing else that is not whole."""
    before = contents(Path())
    with pytest.raises(SystemExit) as ended:
        run_program(monkeypatch, program, **OPTIONS[program] | options)
    message = ended.value.code
    # sys.exit of a string prints it to standard error and exits 1.
    assert isinstance(message, str) and message.startswith(f"{program}.py: ") and "\n" not in message
    after = contents(Path())
    # Checkpoints come, stay and go: the same command goes on from them.
    before, after = (
        {n: c for n, c in files.items() if not n.startswith("new/checkpoints/")} for files in (before, after)
    )
    assert {name: after.get(name) for name in before} == before
    new = [name for name in after if name not in before]
    assert not [
        name for name in new if name.endswith((".tmp", ".scp", ".ark", ".pt", "model.safetensors", "text", "step.json"))
    ], new
    return message.removeprefix(f"{program}.py: ")


@pytest.mark.parametrize("program", OPTIONS)
def test_what_is_broken_below_works_whole(recipe, monkeypatch, program):
    """Otherwise the tests below would prove nothing."""
    run_program(monkeypatch, program, **OPTIONS[program])
    assert program == "check_whisper" or list(Path("new").iterdir())


def test_missing_audio(recipe, monkeypatch):
    Path("audio/s2-a.wav").unlink()
    assert (
        says(monkeypatch, "extract_features")
        == "audio/s2-a.wav does not exist; check the corpus root and prepare the data again, or leave it out"
    )


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_truncated_audio(recipe, monkeypatch, form):
    path = Path("audio/s2-a.wav")
    soundfile.write(path, 0.1 * noise(1, 6400), 16000, format=form)
    path.write_bytes(path.read_bytes()[:5000])
    assert says(monkeypatch, "extract_features").startswith("audio/s2-a.wav ")


def test_audio_with_a_nan(recipe, monkeypatch):
    samples = 0.1 * noise(1, 6400)
    samples[100] = np.nan
    soundfile.write("audio/s2-a.wav", samples, 16000, subtype="FLOAT")
    assert says(monkeypatch, "extract_features").startswith("audio/s2-a.wav holds samples that are not numbers")


def test_audio_over_30_seconds(recipe, monkeypatch):
    soundfile.write("audio/s2-a.wav", np.zeros(16000 * 30 + 161), 16000)
    for place in ("data/train", "data/train/split1/1"):
        write_table(Path(place, "utt2dur"), read_table(Path(place, "utt2dur")) | {"s2-a": "30.010"})
    assert "the utterance s2-a lasts 30.0 s, over Whisper's 30" in says(monkeypatch, "extract_features")


@pytest.mark.parametrize("program", ["extract_features", "pack_waveforms", "estimate_noise_masks", "mix_noise"])
@pytest.mark.parametrize("seconds", [0.28, 0.52])
def test_audio_of_another_length_than_utt2dur(recipe, monkeypatch, program, seconds):
    """Nothing is lost in silence where a file changed after stage 1, or a decoder makes less of it than was counted."""
    soundfile.write("audio/s2-a.wav", 0.1 * noise(1, round(16000 * seconds)), 16000)
    said = f"audio/s2-a.wav: the utterance s2-a lasts {seconds} s, and 0.40 s in utt2dur; prepare the data again"
    assert says(monkeypatch, program).startswith(said)
    soundfile.write("audio/s2-a.wav", 0.1 * noise(1, round(16000 * 0.45)), 16000)
    run_program(monkeypatch, program, **OPTIONS[program])


def test_segments_and_speeds_count_in_the_length(recipe, monkeypatch):
    share = Path("data/train/split1/1")
    write_table(share / "segments", {key: f"{key} 0.000 0.200" for key in KEYS})
    assert "s1-a lasts 0.20 s, and 0.40 s in utt2dur" in says(monkeypatch, "extract_features")
    write_table(share / "utt2dur", dict.fromkeys(KEYS, "0.200"))
    run_program(monkeypatch, "extract_features", **OPTIONS["extract_features"])
    shutil.rmtree("new")
    (share / "segments").unlink()
    write_table(share / "utt2speed", dict.fromkeys(KEYS, "0.5"))
    assert "lasts 0.80 s, and 0.20 s in utt2dur" in says(monkeypatch, "extract_features")
    write_table(share / "utt2dur", dict.fromkeys(KEYS, "0.800"))
    run_program(monkeypatch, "extract_features", **OPTIONS["extract_features"])


@pytest.mark.parametrize("program", ["extract_features", "finetune"])
def test_a_line_that_is_not_utf8(recipe, monkeypatch, program):
    for place in ("data/train/text", "data/train/split1/1/text"):
        lines = Path(place).read_bytes().splitlines(keepends=True)
        Path(place).write_bytes(b"".join(lines[:2]) + b"s2-a caf\xe9\n" + b"".join(lines[3:]))
    message = says(monkeypatch, program)
    assert "/text:3 is not UTF-8 (byte 9)" in message and "iconv" in message


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_transcript(recipe, monkeypatch, text):
    content = Path("data/train/text").read_text()
    Path("data/train/text").write_text(content.replace("s2-a one two\n", f"s2-a {text}\n".rstrip(" ")))
    assert says(monkeypatch, "finetune").startswith("data/train/text: s2-a has an empty transcript")


def test_a_transcript_that_no_model_holds(recipe, monkeypatch):
    content = Path("data/train/text").read_text()
    Path("data/train/text").write_text(content.replace("s2-a one two\n", f"s2-a {'word ' * 500}\n"))
    assert re.fullmatch(
        r"data/train/text: s2-a: the text 'word .* has 504 tokens with the prompt, over the 448 that the model's"
        r" decoder reads; leave out such"
        r" utterances with --skip-long-texts true, in a recipe skip_long_texts: true in conf/finetune.yaml",
        says(monkeypatch, "finetune"),
    )


def test_long_transcripts_are_left_out_where_that_is_asked_for(recipe, monkeypatch, caplog):
    content = Path("data/train/text").read_text()
    Path("data/train/text").write_text(content.replace("s2-a one two\n", f"s2-a {'word ' * 500}\n"))
    caplog.set_level("INFO")
    run_program(monkeypatch, "finetune", **OPTIONS["finetune"] | {"skip_long_texts": "true"})
    assert (
        "left out 1 utterances whose texts have too many tokens, first s2-a" in caplog.text
        and Path("new/model.pt").exists()
    )
    Path("data/train/text").write_text("".join(f"{key} {'word ' * 500}\n" for key in KEYS))
    assert says(monkeypatch, "finetune", skip_long_texts="true", out="other").startswith(
        "data/train/text: every utterance has too many tokens for the model"
    )


def test_frozen_parameters_stay_as_they_are(recipe, monkeypatch):
    options = {"training.learning_rate": 1e-2, "frozen": "decoder|conv1"}
    run_program(monkeypatch, "finetune", **OPTIONS["finetune"] | options)
    start, new = (torch.load(path)["model_state_dict"] for path in ("whisper.pt", "new/model.pt"))
    kept = {name for name in start if torch.equal(start[name], new[name])}
    assert kept - {"encoder.positional_embedding"} == {name for name in start if re.search("decoder|conv1", name)}


def test_what_is_written_lies_between_start_and_training(recipe, monkeypatch):
    options = OPTIONS["finetune"] | {"training.learning_rate": 1e-2}
    run_program(monkeypatch, "finetune", **options)
    record = json.loads(Path("new/step.json").read_text())["config"]
    run_program(monkeypatch, "finetune", **options | {"start_share": 0.25, "out": "between"})
    assert json.loads(Path("between/step.json").read_text())["config"] == record | {"start_share": 0.25}
    start, new, between = (
        torch.load(path)["model_state_dict"] for path in ("whisper.pt", "new/model.pt", "between/model.pt")
    )
    assert not all(torch.equal(start[name], new[name]) for name in start)
    for name, weights in between.items():
        torch.testing.assert_close(weights, 0.25 * start[name] + 0.75 * new[name])
    # Another option that earlier versions had not.
    run_program(monkeypatch, "finetune", **options | {"lowercase": "false", "out": "cased"})
    assert json.loads(Path("cased/step.json").read_text())["config"] == record | {"lowercase": False}
    for share in ("-0.1", "1"):
        assert says(monkeypatch, "finetune", start_share=share, out=f"other{share}").startswith(
            f"--start-share is {float(share)}; give a number from 0 to less than 1"
        )


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "--frozen: '(' is not a regular expression: "),
        ("encoder2", "--frozen 'encoder2' matches none of the model's parameters, which are model."),
        ("model", "--frozen 'model' matches all of the model's parameters"),
    ],
)
def test_a_pattern_that_freezes_nothing_or_everything(recipe, monkeypatch, pattern, sentence):
    assert says(monkeypatch, "finetune", frozen=pattern).startswith(sentence)


def test_a_special_token_in_a_transcript(recipe, monkeypatch):
    content = Path("data/train/text").read_text()
    Path("data/train/text").write_text(content.replace("s2-a one two\n", "s2-a <|EN|>one\n"))
    assert (
        says(monkeypatch, "finetune")
        == "data/train/text: s2-a: the text '<|en|>one' has Whisper's special token <|en|>; remove it from the text"
    )


@pytest.mark.parametrize("program", ["finetune", "decode", "export_whisper", "check_whisper"])
def test_a_language_that_the_model_does_not_know(recipe, monkeypatch, program):
    assert (
        says(monkeypatch, program, language="fa-IR")
        == "this Whisper knows no language 'fa-IR'; give --language a code such as en, fa or ca"
    )
    save_model(new_model(replace(TINY, n_vocab=51864), 1), Path("english.pt"))
    assert says(monkeypatch, program, language="fa", **model_option(program, "english.pt")).startswith(
        "this Whisper knows English only, not 'fa'"
    )


@pytest.mark.parametrize("program", ["finetune", "decode"])
def test_features_of_other_bins_than_the_model_reads(recipe, monkeypatch, program):
    save_model(new_model(replace(TINY, n_mels=128, n_vocab=51866), 1), Path("large.pt"))
    assert (
        says(monkeypatch, program, **model_option(program, "large.pt"))
        == "dump/train/feats.scp has features of 80 mel bins, and this model reads 128; run the step that writes it"
        " again"
    )


def test_features_of_other_bins_than_the_classifier_reads(recipe, monkeypatch):
    write_features(Path(), "train", {key: noise(n, (40, 128)) for n, key in enumerate(KEYS)})
    assert (
        says(monkeypatch, "map_saliency")
        == "the classifier reads 80 bins, and the features have 128; train it again on these features"
    )


def test_bins_that_no_model_reads(recipe, monkeypatch):
    assert (
        says(monkeypatch, "extract_features", bins=100) == "--kind logmel has 80 or 128 bins, not 100; correct --bins"
    )
    assert (
        says(monkeypatch, "extract_features", bins=128, kind="fbank")
        == "--kind fbank has 80 bins, not 128; correct --bins"
    )


def spoil(key: str, how: str) -> None:
    """Break one entry of the training features."""
    table = read_table(Path("dump/train/feats.scp"))
    if how == "nan":
        matrix = np.array(Archive(Path("dump/train/feats.scp"))[key])
        matrix[3, 7] = np.nan
        kaldiio.save_ark("dump/train/bad.ark", {key: matrix})
        table[key] = f"dump/train/bad.ark:{len(key) + 1}"
        write_table(Path("dump/train/feats.scp"), table)
    else:
        ark = Path("dump/train/feats.ark")
        content, offset = ark.read_bytes(), int(table[key].rsplit(":", 1)[1])
        # Either the entry's header is not one, or the file ends within the last entry.
        ark.write_bytes(
            content[:offset] + b"garbage" + content[offset + 7 :] if how == "corrupt" else content[: offset + 500]
        )


READERS = ("train_classifier", "map_saliency", "measure_saliency", "mask_features", "finetune", "decode")


@pytest.mark.parametrize("program", READERS)
@pytest.mark.parametrize("how", ["nan", "corrupt", "truncated"])
def test_features_that_cannot_be_used(recipe, monkeypatch, program, how):
    spoil("s3-b", how)
    message = says(monkeypatch, program)
    assert message.startswith("dump/train/feats.scp: the entry of s3-b at ")
    assert (
        "holds a NaN" if how == "nan" else "is corrupt"
    ) in message and "run the step that writes it again" in message


@pytest.mark.parametrize("program", READERS)
def test_features_that_are_missing(recipe, monkeypatch, program):
    Path("dump/train/feats.scp").unlink()
    assert says(monkeypatch, program) == "dump/train/feats.scp does not exist; run the step that writes it again"


@pytest.mark.parametrize("program", ["finetune", "decode", "export_whisper", "check_whisper"])
def test_a_checkpoint_of_another_architecture(recipe, monkeypatch, program):
    torch.save({"model": {"classify.weight": torch.zeros(3, 3)}}, "other.pt")
    Path("bytes.pt").write_bytes(np.random.default_rng(1).bytes(1000))
    for path in ("other.pt", "bytes.pt"):
        assert says(monkeypatch, program, **model_option(program, path)).startswith(
            f"{path} is no Whisper checkpoint that this version can load"
        )
    assert says(monkeypatch, program, **model_option(program, "none.pt")).startswith(
        "none.pt is neither a file nor a folder nor one of Whisper's models"
    )


def test_a_classifier_of_another_architecture(recipe, monkeypatch):
    write_json(Path("exp/classifier/config.json"), read_json(Path("exp/classifier/config.json")) | {"hidden": 99})
    assert says(monkeypatch, "map_saliency").startswith(
        "exp/classifier holds no accent classifier of this architecture"
    )


def test_an_utterance_longer_than_the_classifier(recipe, monkeypatch):
    write_features(recipe, "train", {key: noise(n, (49, 80)) for n, key in enumerate(KEYS)})
    assert "49 frames does not fit the classifier's 48" in says(monkeypatch, "map_saliency")
    assert "49 frames does not fit the classifier's 48" in says(monkeypatch, "train_classifier")


def test_an_utterance_as_long_as_the_classifier_fits(recipe, monkeypatch):
    write_features(recipe, "train", {key: noise(n, (48 if n == 2 else 30, 80)) for n, key in enumerate(KEYS)})
    run_program(monkeypatch, "train_classifier", **OPTIONS["train_classifier"])
    run_program(monkeypatch, "map_saliency", **OPTIONS["map_saliency"] | {"out": "maps"})
    assert Archive(Path("maps/gradcam/train/saliency.scp"))[KEYS[2]].shape == (6, 10)
    run_program(monkeypatch, "mask_features", **OPTIONS["mask_features"] | {"only": "gradcam", "out": "masked"})
    assert Archive(Path("masked/gradcam/train/feats.scp"))[KEYS[2]].shape == (48, 80)


def test_a_label_the_classifier_never_saw(recipe, monkeypatch):
    for place in ("data/train", "data/train/split1/1", "data/dev"):
        write_table(Path(place, "utt2accent"), read_table(Path(place, "utt2accent")) | {"s2-a": "Martian"})
    message = says(monkeypatch, "map_saliency", target="true")
    assert (
        "s2-a has the accent 'Martian', which the classifier never saw (a, b)" in message
        and "--target predicted" in message
    )
    # The predicted class needs no label.
    run_program(monkeypatch, "map_saliency", **OPTIONS["map_saliency"] | {"out": "predicted"})
    for place in ("data/train", "data/train/split1/1"):
        write_table(Path(place, "utt2accent"), read_table(Path(place, "utt2accent")) | {"s2-a": "a"})
    assert "dev/utt2accent: s2-a has the accent 'Martian', which the training set lacks (a, b)" in says(
        monkeypatch, "train_classifier"
    )


def test_an_utterance_without_an_accent(recipe, monkeypatch):
    accents = read_table(Path("data/train/utt2accent"))
    accents.pop("s2-a")
    write_table(Path("data/train/utt2accent"), accents)
    assert "utt2accent has no line for s2-a" in says(monkeypatch, "train_classifier")


def test_maps_that_a_system_needs(recipe, monkeypatch):
    assert (
        says(monkeypatch, "finetune", system="gradcam")
        == "the system gradcam needs --maps, the folder of the saliency maps"
    )
    assert says(monkeypatch, "finetune", system="gradcam", masks="fixed").startswith("--masks fixed needs --masked")
    assert says(monkeypatch, "mask_features", only="gradcam").startswith(
        "maps/gradcam/train/saliency.scp does not exist"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "x"},
        {"no_such_option": 1},
        {"system": ""},
        {"system": "zero-shot"},
        {"masks": "sometimes"},
        {"language": "xx"},
    ],
)
def test_options_that_make_no_sense(recipe, monkeypatch, options):
    says(monkeypatch, "finetune", **options)


def test_jobs_that_left_something_out(recipe, monkeypatch):
    run_program(monkeypatch, "extract_features", **OPTIONS["extract_features"])
    table = read_table(Path("new/train/feats.1.scp"))
    table.pop("s2-a")
    write_table(Path("new/train/feats.1.scp"), table)
    with pytest.raises(
        SystemExit,
        match=(
            r"^merge_archives\.py: new/train/feats\.scp lacks 1 utterances of data/train, first s2-a;"
            r" run the step that writes it again$"
        ),
    ):
        run_program(monkeypatch, "merge_archives", folder="new", sets="train", name="feats", jobs=1, data="data")
    with pytest.raises(SystemExit, match=r"new/train/feats\.2\.scp does not exist"):
        run_program(monkeypatch, "merge_archives", folder="new", sets="train", name="feats", jobs=2)


ESTIMATING = {
    "extract_features": "the features",
    "map_saliency": "the maps",
    "mask_features": "the masked features",
    "estimate_noise_masks": "the masks",
    "pack_waveforms": "the waveforms",
    "mix_noise": "the noisy features",
}
"""Programs that first estimate the disk they need, and for what."""


@pytest.mark.parametrize("program", ESTIMATING)
def test_no_more_is_written_than_was_estimated(recipe, monkeypatch, program):
    estimated = []
    monkeypatch.setattr("salience.files.require_space", lambda out, parts, needed, what: estimated.append(needed))
    run_program(monkeypatch, program, **OPTIONS[program])
    written = sum(
        path.stat().st_size for path in Path("new").rglob("*") if path.suffix in (".ark", ".scp", ".npy", ".flac")
    )
    # Packing takes its room twice, and entries of archives get more than they need.
    assert written <= sum(estimated) < 2.1 * written + 512 * 2 * len(KEYS) * 4


@pytest.mark.parametrize(("program", "what"), ESTIMATING.items())
def test_what_does_not_fit_the_disk_is_not_begun(recipe, monkeypatch, program, what):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr("salience.files.shutil.disk_usage", lambda _: usage._replace(free=1000))
    assert says(monkeypatch, program).startswith(f"{what} need ") and not Path("new").exists()
    run_program(monkeypatch, program, **OPTIONS[program] | {"check_space": "false"})


FULL = re.compile(
    r"(?:\w+\.py: )?no space left on the disk for (\S+|what \S+ is to hold); free some and run the same command again,"
    r" what is done stays done"
)


def fill_disk(monkeypatch, after: int) -> None:
    """Let whatever is published from the given file on find the disk full."""
    published, replace = [], os.replace

    def full(source, target):
        published.append(target)
        if len(published) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)


@pytest.mark.parametrize("program", [p for p in OPTIONS if p not in ("export_whisper", "check_whisper")])
def test_a_full_disk_at_the_first_file(recipe, monkeypatch, program):
    fill_disk(monkeypatch, 0)
    assert FULL.fullmatch(says(monkeypatch, program))


@pytest.mark.parametrize(
    ("program", "temporary"),
    [
        ("extract_features", "new/train/.feats.1.ark.tmp"),
        ("map_saliency", "new/gradcam/train/.saliency.ark.tmp"),
        ("mask_features", "new/specaugment/train/.feats.ark.tmp"),
        ("train_classifier", "new/.model.safetensors.tmp"),
        ("finetune", "new/.model.pt.tmp"),
        ("decode", "new/train/.text.tmp"),
    ],
)
def test_a_device_that_is_really_full(recipe, monkeypatch, program, temporary):
    """The kernel's own error, by a temporary file that leads to /dev/full."""
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not here")
    Path(temporary).parent.mkdir(parents=True)
    Path(temporary).symlink_to("/dev/full")
    with pytest.raises(SystemExit) as ended:
        run_program(monkeypatch, program, **OPTIONS[program])
    named = Path(temporary.replace("/.", "/").removesuffix(".tmp"))
    assert FULL.fullmatch(ended.value.code)[1] in (str(named), temporary)
    assert not Path(temporary).is_symlink() and not list(Path("new").rglob("*step.json"))
    # With space again, the same command ends well.
    run_program(monkeypatch, program, **OPTIONS[program])
    assert list(Path("new").rglob("*step.json"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_in_other_libraries_words(recipe, monkeypatch, error):
    """torch.save and safetensors, within the trainer, do not raise OSError."""

    def full(*_, **__):
        raise error

    monkeypatch.setattr("transformers.trainer.Trainer._save_checkpoint", full)
    assert FULL.fullmatch(says(monkeypatch, "finetune"))


def test_a_bug_is_not_called_bad_input(recipe, monkeypatch):
    def bug(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("transformers.trainer.Trainer._save_checkpoint", bug)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run_program(monkeypatch, "finetune", **OPTIONS["finetune"])


def test_a_broken_run_again_leaves_the_whole_model_of_the_last(recipe, monkeypatch):
    """A model that was trained well survives a second training that fails."""
    run_program(monkeypatch, "finetune", **OPTIONS["finetune"])
    model = Path("new/model.pt").read_bytes()
    spoil("s1-a", "corrupt")
    with pytest.raises(SystemExit, match="entry of s1-a"):
        run_program(monkeypatch, "finetune", **OPTIONS["finetune"] | {"seed": 2})
    assert Path("new/model.pt").read_bytes() == model
    load_model("new/model.pt")


@pytest.mark.parametrize("program", ["finetune", "train_classifier"])
def test_a_training_goes_on_from_its_own_checkpoints_only(recipe, monkeypatch, program):
    """Interrupted and run again: as if never interrupted.  With another rate in between: as if never begun."""
    result = {"finetune": "model.pt", "train_classifier": "model.safetensors"}[program]
    options = OPTIONS[program] | {"training.epochs": 3, "training.learning_rate": 1e-3}

    def interrupt(times, **changed):
        with monkeypatch.context() as patch:
            seen = []

            def cut(trainer, *given):
                seen.append(whole(trainer, *given))
                if len(seen) == times:
                    raise KeyboardInterrupt

            whole = transformers.Trainer._save_checkpoint
            patch.setattr(transformers.Trainer, "_save_checkpoint", cut)
            with pytest.raises(SystemExit):
                run_program(monkeypatch, program, **options | changed)

    run_program(monkeypatch, program, **options | {"out": "straight"})
    interrupt(2, **{"training.learning_rate": 1e-1})
    assert list(Path("new/checkpoints").glob("checkpoint-*"))
    interrupt(1)
    run_program(monkeypatch, program, **options)
    assert Path("new", result).read_bytes() == Path("straight", result).read_bytes()
    assert not Path("new/checkpoints").exists()


def test_masks_of_stage_5_train_the_recogniser(recipe, monkeypatch):
    """--masks fixed: every augmented copy is what stands in the archive."""
    run_program(monkeypatch, "mask_features", **OPTIONS["mask_features"] | {"out": "masked"})
    seen = []
    whole = finetuning.AugmentedUtterances.__getitem__

    def watch(data, where):
        example = whole(data, where)
        seen.append((*where, example.features))
        return example

    monkeypatch.setattr(finetuning.AugmentedUtterances, "__getitem__", watch)
    run_program(
        monkeypatch, "finetune", **OPTIONS["finetune"] | {"masks": "fixed", "masked": "masked", "training.epochs": 2}
    )
    clean, masked = Archive(Path("dump/train/feats.scp")), Archive(Path("masked/specaugment/train/feats.scp"))
    assert len(seen) == 24
    for _, index, features in seen:
        np.testing.assert_array_equal(features, (masked if index >= 6 else clean)[KEYS[index % 6]])


def shell(program: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A program as a stage starts it."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in (OPTIONS[program] | options).items()]
    environment = os.environ | {"PYTHONPATH": str(TOP / "local"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, TOP / "local" / f"{program}.py", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "what"),
    [("extract_features", "missing audio"), ("mask_features", "corrupt"), ("mask_features", "full disk")],
)
def test_from_the_shell(recipe, program, what):
    """Exit 1, nothing on standard output, the sentence as the last line of standard error, no traceback."""
    if what == "missing audio":
        Path("audio/s2-a.wav").unlink()
    elif what == "corrupt":
        spoil("s1-a", "corrupt")
    else:
        Path("new/specaugment/train").mkdir(parents=True)
        Path("new/specaugment/train/.feats.ark.tmp").symlink_to("/dev/full")
    before = contents(Path("dump")) | contents(Path("data"))
    ended = shell(program)
    assert ended.returncode == 1 and ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"{program}.py: ")
    assert contents(Path("dump")) | contents(Path("data")) == before
    assert not list(Path("new").rglob("*.ark")) and not list(Path("new").rglob("*.tmp"))
