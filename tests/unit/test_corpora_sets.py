"""Speaker splits, and the two recipes' sets: disjoint speakers, counted exclusions, corpora untouched."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing, program, real_data
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import edacc, fsdd, librispeech
from salience.corpora.splits import split_speakers, spread
from salience.corpora.synthetic import common_voice as mini_common_voice
from salience.corpora.synthetic import edacc as mini_edacc
from salience.corpora.synthetic import librispeech as mini_librispeech
from salience.data.directories import read_data_dir, write_data_dir
from salience.errors import InputError

ACCENT_RECIPE = "egs/librispeech_edacc/local/prepare_sets.py"
DIGIT_RECIPE = "egs/fsdd/local/prepare_sets.py"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("espeakng_loader")
    top = tmp_path_factory.mktemp("corpora")
    roots = {"librispeech": top / "LibriSpeech", "edacc": top / "edacc_v1.0", "common_voice": top / "cv/en"}
    mini_librispeech.synthesise(roots["librispeech"], train=(3, 4), dev=(2, 2), test=(2, 3))
    mini_edacc.synthesise(roots["edacc"], seen=(5, 2), unseen=(1, 2))
    mini_common_voice.synthesise(roots["common_voice"], speakers=1, each=1)
    return roots


def speakers(folder: Path) -> set[str]:
    return {utterance.speaker for utterance in read_data_dir(folder)}


def test_accent_recipe(corpora: dict[str, Path], tmp_path: Path) -> None:
    before = {name: listing(root) for name, root in corpora.items()}
    out = tmp_path / "data"
    main = program(ACCENT_RECIPE).main
    main(out, **corpora, standard_train=6)
    assert {name: listing(root) for name, root in corpora.items()} == before
    sets = {folder.name: read_data_dir(folder) for folder in out.iterdir() if folder.is_dir()}
    sizes = {name: len(found) for name, found in sets.items()}
    # Five speakers of a seen accent: 2 train, 1 dev, 2 test; two turns each.
    assert sizes == {
        "cls_train": 6 + 5 * 4, "cls_dev": 4 + 5 * 2, "cls_test": 6 + 5 * 4, "asr_train": 12, "asr_dev": 4,
        "ls": 6, "accented": 5 * 4, "unseen": 5 * 2, "cma": 16,
    }  # fmt: skip
    by_set = {name: {u.speaker for u in found} for name, found in sets.items()}
    learnt = by_set["cls_train"] | by_set["asr_train"]
    chosen = by_set["cls_dev"] | by_set["asr_dev"]
    tested = by_set["cls_test"] | by_set["ls"] | by_set["accented"] | by_set["unseen"] | by_set["cma"]
    assert not learnt & chosen and not learnt & tested and not chosen & tested
    assert {u.accent for u in sets["ls"]} == {"Standard"}
    assert (
        Counter(u.accent for u in sets["cls_train"])["Standard"] == 6
        and len({u.accent for u in sets["cls_train"]}) == 6
    )
    assert not {u.accent for u in sets["unseen"]} & {u.accent for u in sets["cls_train"]}
    # Six utterances of three readers: two of each.
    assert set(Counter(u.speaker for u in sets["cls_train"] if u.accent == "Standard").values()) == {2}
    assert mini_edacc.MINI_UNMAPPED in (out / "edacc_unmapped_accents.txt").read_text()
    told = (out / "preparation.txt").read_text()
    assert "31  read control passages" in told and "1  turns over 30 s" in told
    assert "2  EdAcc turns of speakers without an accent label" in told

    first = contents(out)
    main(out, **corpora, standard_train=6)
    assert contents(out) == first
    main(tmp_path / "elsewhere", **corpora, standard_train=6)
    for name in sets:
        assert contents(tmp_path / "elsewhere" / name) == contents(out / name)


def test_a_table_of_speakers_settles_what_words_do_not(corpora: dict[str, Path], tmp_path: Path) -> None:
    main = program(ACCENT_RECIPE).main
    unmapped = edacc.label_speakers(edacc.background(corpora["edacc"]), edacc.read_labels(edacc.ACCENT_TABLE))[1]
    (who,) = unmapped[mini_edacc.MINI_UNMAPPED]
    (tmp_path / "mine.tsv").write_text(f"# speaker, label\n{who}\tMainstream US English\n")
    main(tmp_path / "data", edacc=corpora["edacc"], speaker_accents=tmp_path / "mine.tsv")
    assert who in speakers(tmp_path / "data/unseen") and not (tmp_path / "data/edacc_unmapped_accents.txt").exists()


def test_accents_in_recogniser_training_are_an_option(corpora: dict[str, Path], tmp_path: Path) -> None:
    program(ACCENT_RECIPE).main(tmp_path / "data", **corpora, asr_train_accents=True, test_limit=5, min_seconds=0.2)
    assert len(read_data_dir(tmp_path / "data/asr_train")) == 12 + 5 * 4
    assert not speakers(tmp_path / "data/asr_train") & speakers(tmp_path / "data/accented")
    assert [len(read_data_dir(tmp_path / "data" / name)) for name in ("ls", "accented", "unseen")] == [5, 5, 5]


def test_with_one_corpus_what_is_possible(corpora: dict[str, Path], tmp_path: Path) -> None:
    main = program(ACCENT_RECIPE).main
    main(tmp_path / "data", **corpora)
    main(tmp_path / "data", librispeech=corpora["librispeech"])
    assert sorted(p.name for p in (tmp_path / "data").iterdir() if p.is_dir()) == ["asr_dev", "asr_train", "ls"]
    assert "accented is left out" in (tmp_path / "data/preparation.txt").read_text()


def test_what_given_recognisers_learnt_is_not_tested(corpora: dict[str, Path], tmp_path: Path) -> None:
    """A speaker of their training set, and another's sentence that is in it, leave the test sets."""
    main = program(ACCENT_RECIPE).main
    main(tmp_path / "all", **corpora)
    before = read_data_dir(tmp_path / "all/cma")
    text_of = {u.id: u.text for u in before}
    one, other = before[0], next(u for u in before if u.text != before[0].text and u.speaker != before[0].speaker)
    learnt = [
        replace(one, text="nobody says this"),
        replace(other, id="x-1", recording="x-1", speaker="x", text=other.text.upper() + "."),
    ]
    write_data_dir(tmp_path / "learnt", learnt)
    main(tmp_path / "apart", **corpora, learnt=str(tmp_path / "learnt"))
    left = {u.id for u in read_data_dir(tmp_path / "apart/cma")}
    gone = {u.id for u in before if u.speaker == one.speaker or u.text == other.text}
    assert {one.id, other.id} <= gone and left == set(text_of) - gone
    told = (tmp_path / "apart/preparation.txt").read_text()
    assert f"{len(gone)}  utterances of cma whose speaker or sentence the given recognisers learnt" in told


def test_common_voice_alone_of_release_1(tmp_path: Path) -> None:
    """Who speaks is not known, which is said; cma is the only set."""
    root = tmp_path / "cv_corpus_v1"
    (root / "cv-valid-dev").mkdir(parents=True)
    rows = ["filename,text,up_votes,down_votes,age,gender,accent,duration"]
    for number, accent in enumerate(("us", "england", "us", "")):
        noise = 0.1 * np.random.default_rng(number).standard_normal(8000)
        soundfile.write(root / f"cv-valid-dev/sample-{number}.mp3", noise, 16000, format="MP3")
        rows.append(f"cv-valid-dev/sample-{number}.mp3,\ufeffsay <|en|> it\u0007 again,1,0,,,{accent},")
    (root / "cv-valid-dev.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    program(ACCENT_RECIPE).main(tmp_path / "data", common_voice=tmp_path)
    assert [p.name for p in (tmp_path / "data").iterdir() if p.is_dir()] == ["cma"]
    found = read_data_dir(tmp_path / "data/cma")
    assert [(u.id, u.speaker, u.text) for u in found] == [
        (f"cv-valid-dev-sample-{n}", f"cv-valid-dev-sample-{n}", "say it again") for n in range(3)
    ]
    told = (tmp_path / "data/preparation.txt").read_text()
    assert "cma: 3 of 3 utterances do not say who speaks" in told and "1  Common Voice clips without an accent" in told


def test_real_excerpt_becomes_ls(tmp_path: Path) -> None:
    root = real_data("LibriSpeech")
    program(ACCENT_RECIPE).main(tmp_path / "data", librispeech=root)
    assert len(read_data_dir(tmp_path / "data/ls")) == 100
    assert "LibriSpeech: test-other for test" in (tmp_path / "data/preparation.txt").read_text()


def test_long_and_short_utterances_are_counted(corpora: dict[str, Path], tmp_path: Path) -> None:
    longest = sorted(u.duration for u in librispeech.utterances(corpora["librispeech"], ["test-clean"]))[-2]
    program(ACCENT_RECIPE).main(tmp_path / "data", librispeech=corpora["librispeech"], max_seconds=longest)
    assert "1  utterances of standard_test over" in (tmp_path / "data/preparation.txt").read_text()
    assert len(read_data_dir(tmp_path / "data/ls")) == 5


def test_bad_options_are_one_sentence(corpora: dict[str, Path], tmp_path: Path) -> None:
    main = program(ACCENT_RECIPE).main
    with pytest.raises(InputError, match="no corpus is given"):
        main(tmp_path / "data")
    with pytest.raises(InputError, match="no EdAcc speaker has the accent 'Klingon'"):
        main(tmp_path / "data", edacc=corpora["edacc"], seen="Italian,Klingon")
    with pytest.raises(InputError, match="holds no part of LibriSpeech"):
        main(tmp_path / "data", librispeech=tmp_path)


def test_failure_leaves_earlier_sets(corpora: dict[str, Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(corpora["librispeech"], tmp_path / "LibriSpeech"))
    main = program(ACCENT_RECIPE).main
    main(tmp_path / "data", librispeech=root)
    first = contents(tmp_path / "data/ls")
    sorted(root.rglob("*.flac"))[0].unlink()
    with pytest.raises(InputError, match="does not exist"):
        main(tmp_path / "data", librispeech=root)
    assert contents(tmp_path / "data/ls") == first


def test_digit_recipe_on_the_real_corpus(tmp_path: Path) -> None:
    root = fsdd.fetch(tmp_path / "fsdd", real_data("fsdd.tar.xz"))
    before = listing(root)
    main = program(DIGIT_RECIPE).main
    main(tmp_path / "german", root, "german")
    assert listing(root) == before
    sets = {p.name: read_data_dir(p) for p in (tmp_path / "german").iterdir() if (p / "text").exists()}
    assert sorted(sets) == ["asr_dev", "asr_train", "cls_dev", "cls_test", "cls_train", "seen", "unseen"]
    assert sets["cls_train"] == sets["asr_train"] and sets["cls_test"] == sets["seen"]
    per_speaker = {name: Counter(u.speaker for u in found) for name, found in sets.items()}
    assert set(per_speaker["unseen"]) == {"lucas", "yweweler"} and set(per_speaker["seen"]) == {
        "jackson",
        "theo",
        "nicolas",
    }
    for name, about in (("asr_train", 200), ("asr_dev", 25), ("seen", 50), ("unseen", 125)):
        assert all(0.85 * about <= count <= 1.1 * about for count in per_speaker[name].values()), per_speaker[name]
    texts = {name: {u.text for u in found} for name, found in sets.items()}
    assert not texts["asr_train"] & (texts["seen"] | texts["unseen"] | texts["asr_dev"])
    assert all(Path(u.audio).is_relative_to(tmp_path / "german/wav") for found in sets.values() for u in found)
    assert "shares neither speakers nor recordings" in (tmp_path / "german/preparation.txt").read_text().replace(
        "\n", " "
    )
    main(tmp_path / "french", root, "french")
    shared = {u.id: u.text for u in read_data_dir(tmp_path / "french/asr_train") if u.speaker == "theo"}
    assert shared == {u.id: u.text for u in sets["asr_train"] if u.speaker == "theo"}
    with pytest.raises(InputError, match="has the accents french, german, us"):
        main(tmp_path / "greek", root, "greek")


people = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from(["X", "Y", "Z"]), max_size=20)


@given(people, st.integers(0, 9), st.randoms())
def test_split_covers_everyone_in_any_order(accents: dict[str, str], seed: int, random: object) -> None:
    names = list(accents)
    partners = {a: [b] for a, b in zip(names[::2], names[1::2], strict=False)}
    partners |= {b: [a] for a, (b,) in partners.items()}
    chosen = split_speakers(accents, partners, seed)
    assert set(chosen) == set(accents)
    shuffled = list(accents.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_speakers(dict(shuffled), partners, seed) == chosen
    for accent in set(accents.values()):
        count = Counter(chosen[name] for name in accents if accents[name] == accent)
        total = sum(count.values())
        assert count["train"] >= 1
        assert (count["test"] >= 1) == (total > 1) and (count["dev"] >= 1) == (total > 2)


def test_partners_stay_together_where_they_can() -> None:
    accents = {f"{accent}{number}": accent for accent in "XY" for number in range(10)}
    partners = {f"X{n}": [f"Y{n}"] for n in range(10)} | {f"Y{n}": [f"X{n}"] for n in range(10)}
    for seed in range(5):
        chosen = split_speakers(accents, partners, seed)
        assert all(chosen[f"X{n}"] == chosen[f"Y{n}"] for n in range(10))
        assert Counter(chosen.values()) == {"train": 10, "dev": 4, "test": 6}


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=2), st.lists(st.text("xyz", max_size=4), unique=True), max_size=6
    ),
    st.integers(0, 20),
)
def test_spread_is_even(said: dict[str, list[str]], count: int) -> None:
    marked = {speaker: [f"{speaker}-{item}" for item in items] for speaker, items in said.items()}
    dealt = spread(marked, count, 0, str)
    assert len(dealt) == min(count, sum(map(len, said.values()))) == len(set(dealt))
    taken = Counter(item.split("-")[0] for item in dealt)
    for speaker, items in said.items():
        # A speaker with words left has had no fewer turns than anybody, give or take the current round.
        if taken[speaker] < len(items):
            assert taken[speaker] >= max(taken.values(), default=0) - 1
