"""Stage 0: one program that finds, unpacks or synthesises a corpus and says where it is."""

import tarfile
from pathlib import Path

import pytest
from corpora_helpers import listing, program

from salience.corpora import fsdd, librispeech
from salience.corpora.synthetic import fsdd as mini_fsdd
from salience.corpora.synthetic import librispeech as mini_librispeech
from salience.errors import InputError

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fsdd") / "mine"
    mini_fsdd.synthesise(root, indices=2)
    return root


def answer(target: Path) -> Path:
    return Path((target / "root.txt").read_text().strip())


def test_users_own_folder_is_only_read(corpus: Path, tmp_path: Path) -> None:
    before = listing(corpus)
    program("local/fetch_corpus.py").main("fsdd", tmp_path, root=corpus.parent)
    assert answer(tmp_path) == corpus and listing(corpus) == before


def test_archive_is_unpacked_once(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        tar.add(corpus, "free-spoken-digit-dataset-1.0.10")
    main = program("local/fetch_corpus.py").main
    main("fsdd", tmp_path / "t", archive=path)
    assert len(list(fsdd.utterances(answer(tmp_path / "t")))) == 100
    before = listing(tmp_path / "t")
    main("fsdd", tmp_path / "t", archive=path)
    assert listing(tmp_path / "t") == before


def test_mini_is_made_once_and_again_for_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        mini_librispeech, "synthesise", lambda root, seed: (made.append(seed), root.mkdir(parents=True, exist_ok=True))
    )
    main = program("local/fetch_corpus.py").main
    for seed in (0, 0, 1):
        main("librispeech", tmp_path, mini=True, seed=seed)
    assert made == [0, 1] and answer(tmp_path) == tmp_path / "mini" / "LibriSpeech"


def test_pretraining_corpus(tmp_path: Path) -> None:
    program("local/fetch_corpus.py").main("librispeech", tmp_path, mini=True, pretraining=40)
    assert len(list(librispeech.utterances(answer(tmp_path)))) == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpus": "common_voice"}, "--common-voice-archive"),
        ({"corpus": "fsdd", "root": Path("/nowhere")}, "--fsdd-root"),
        ({"corpus": "edacc", "archive": Path("/nowhere.zip")}, "does not exist"),
        ({"corpus": "fsdd", "root": Path("/nowhere"), "mini": True}, "cannot be used together"),
        ({"corpus": "fsdd", "mini": True, "pretraining": 3}, "--pretraining needs"),
        ({"corpus": "librispeech", "parts": "dev-cleen"}, "has no part dev-cleen"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        program("local/fetch_corpus.py").main(target=tmp_path, **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "root.txt").exists()
