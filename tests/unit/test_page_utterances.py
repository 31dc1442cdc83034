"""The utterances of report.html in a browser: search, masks under sliders, sound, alignments, hostile texts."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_helpers import data_of
from report_results import report_results

from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.features.archives import ArchiveWriter
from salience.features.logmel import log_mel
from salience.files import write_json
from salience.masking.policies import ProbabilisticPolicy, TopSharePolicy
from salience.randomness import generator
from salience.report.utterances import spread
from salience.scoring.results import new_row, write_results

HOSTILE = "</script><script>alert(1)</script><img/src=x/onerror=alert(2)>\"'`{{7*7}}"
TEXTS = {"a-1": "one two three", "a-2": HOSTILE, "b-1": "یک دو سه چهار", "b-2": "five"}
HEARD = {
    "plain": {"a-1": "one too three", "a-2": HOSTILE, "b-1": "یک سه چهار پنج", "b-2": "five"},
    HOSTILE: {"a-1": "one two three", "a-2": f"{HOSTILE} {HOSTILE}", "b-1": "یک دو سه چهار", "b-2": "five"},
}
REPORT = """
title: Toy corpus
utterances:
  - {kind: hypotheses, data: "data/{set}", texts: "exp/{system:$systems}/seed{seed}/{set}/text"}
  - kind: masked-features
    data: data/{set}
    features: dump/{set}/feats.scp
    maps: exp/saliency
    systems: systems.yaml
    masked: probable top spec
    classifier: ""
    seed: "7"
"""
SYSTEMS = """
probable: {map: gradcam, policy: probabilistic}
top: {map: gradcam, policy: {top-share: 0.2}}
spec: {policy: specaugment}
"""
SECONDS = 1.5


def speech(seed: int) -> np.ndarray:
    """A second and a half of tones in noise."""
    times = np.arange(int(16000 * SECONDS)) / 16000
    tone = 0.3 * np.sin(2 * np.pi * (400 + 300 * seed) * times) * (np.sin(9 * times) > 0)
    return (tone + 0.01 * np.random.default_rng(seed).standard_normal(len(times))).astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A page of a run with four utterances, two systems and three ways of masking."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        records = []
        for place, (key, text) in enumerate(TEXTS.items()):
            soundfile.write(f"{key}.wav", speech(place), 16000)
            known = {"duration": SECONDS, "recording": key, "accent": ("Dutch", HOSTILE, "گیلکی", "Dutch")[place]}
            records.append(Utterance(key, key[0], Path(f"{key}.wav").absolute(), text, **known))
        write_data_dir(Path("data/test"), records)
        features = dict(zip(TEXTS, log_mel([speech(place) for place in range(len(TEXTS))])))
        rng = np.random.default_rng(5)
        with (
            ArchiveWriter(Path("dump/test/feats")) as logmels,
            ArchiveWriter(Path("exp/saliency/gradcam/test/saliency")) as maps,
        ):
            for key, matrix in features.items():
                logmels.write(key, matrix)
                maps.write(key, rng.standard_normal((-(-len(matrix) // 8) + 1, 10)))
        write_table(Path("dump/test/utt2num_frames"), {key: str(len(matrix)) for key, matrix in features.items()})
        write_json(Path("exp/saliency/gradcam/test/saliency.json"), {"frames_per_column": 8, "bins_per_row": 8})
        for place, texts in enumerate(HEARD.values()):
            write_table(Path(f"exp/{place}/seed1/test/text"), texts)
        Path("systems.yaml").write_text(SYSTEMS)
        Path("report.yaml").write_text(REPORT)
        common = {"corpus": "toy", "synthetic": False, "command": "", "commit": "", "date": ""}
        write_results(
            Path("results.json"), {"rows": [new_row(common, metric="x", value=1)], "comparisons": [], "runs": []}
        )
        page = Path("report.html").absolute()
        report_results(Path("report.yaml"), Path("results.json"), Path("R.md"), page, values={"systems": "0 1"})
        return page


@pytest.fixture
def opened(browser, written):
    """The page at its utterances; the console must have stayed empty."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(written.as_uri())
    page.wait_for_selector("audio")
    yield page
    assert said == []
    page.close()


def shown(page) -> list[str]:
    return page.locator("#utterances .list .key").all_text_contents()


def test_search_and_filters_narrow(opened):
    assert sorted(shown(opened)) == list(TEXTS)
    opened.fill("input[type=search]", "TWO")
    assert shown(opened) == ["a-1"]
    opened.fill("input[type=search]", "")
    opened.check("input[name=changed]")
    assert sorted(shown(opened)) == ["a-1", "a-2", "b-1"]
    opened.select_option("select[name=system]", label="0")
    assert sorted(shown(opened)) == ["a-1", "b-1"]
    opened.select_option("select[name=accent]", label="گیلکی")
    assert shown(opened) == ["b-1"] and "1 of 4 utterances" in opened.inner_text("#utterances [role=status]")


def choose(page, key: str) -> None:
    page.click(f'#utterances button[data-id="test/{key}"]')
    page.wait_for_function("key => document.querySelector('canvas')?.ariaLabel?.includes(key)", arg=key)


def test_alignments_run_in_the_direction_of_their_writing(opened):
    for key, backwards in (("a-1", False), ("b-1", True)):
        choose(opened, key)
        line = opened.locator(".aligned").first
        assert line.locator("del, ins").count() >= 2
        left = [part.bounding_box()["x"] for part in line.locator("span, del, ins").all()]
        assert left == sorted(left, reverse=backwards)


def test_texts_are_not_markup(opened):
    choose(opened, "a-2")
    assert opened.inner_text(".detail p.said") == HOSTILE and opened.locator("img").count() == 0
    assert opened.locator(".aligned ins").first.text_content() == HOSTILE


CHOOSE = "() => document.querySelector('canvas').toDataURL()"


def test_the_slider_changes_the_mask(opened):
    choose(opened, "a-1")
    note, sliders = opened.locator(".detail [aria-live=polite]"), opened.locator(".detail input[type=range]")
    assert sliders.count() == 4 and "probable masks" in note.inner_text()
    before, picture = note.inner_text(), opened.evaluate(CHOOSE)
    sliders.nth(3).focus()
    for _ in range(20):
        opened.keyboard.press("ArrowLeft")
    assert note.inner_text() != before and opened.evaluate(CHOOSE) != picture
    opened.select_option("select[name=mask]", label="spec")
    opened.wait_for_function(
        "() => document.querySelector('.detail [aria-live=polite]').textContent.includes('spec masks')"
    )
    assert sliders.count() == 1


HIDDEN = """async ([picture, place, settings]) => {
  const maps = await Promise.all(picture.maps.map(async (map) => ({ ...map, values: await unpacked(map) })));
  const mask = await openMask(picture.masks[place], maps);
  return [[...maps[0].values], [...mask.hiddenPoints({ ...mask.settings, ...settings })]];
}"""


@pytest.mark.parametrize(
    ("place", "policy"),
    [
        (0, ProbabilisticPolicy()),
        (0, ProbabilisticPolicy(low=0.1, middle=0.25, high=0.4)),
        (0, ProbabilisticPolicy(per_point=True)),
        (0, ProbabilisticPolicy(literal=True)),
        (1, TopSharePolicy(0.2)),
        (1, TopSharePolicy(0.55)),
    ],
)
def test_a_recomputed_mask_is_that_of_the_policy(opened, written, place, policy):
    """Bit for bit, with numpy's random numbers, on the map as the page has it."""
    for utterance in data_of(written)["utterances"]:
        picture = utterance["picture"]
        if "settings" in picture["masks"][place]:
            settings = {key: getattr(policy, key) for key in picture["masks"][place]["settings"]}
            picture["masks"][place]["settings"] = settings
        values, hidden = opened.evaluate(HIDDEN, [picture, place, {}])
        unit = np.array(values, np.float32).reshape(picture["level"]["frames"], 80)
        keep = policy.keep(unit, generator(7, utterance["id"], 0, policy.stream))
        found = np.array(hidden).reshape(unit.shape) == 0
        if isinstance(policy, ProbabilisticPolicy):
            assert 0.02 < (~keep).mean() < 0.98
            np.testing.assert_array_equal(found, keep)
        else:  # which of equal points at the border are masked is open
            assert found.sum() == keep.sum() and unit[~found].min() >= unit[found].max()


def test_a_player_plays(opened):
    choose(opened, "a-1")
    assert opened.locator("audio").count() == 4  # as it is, and through three masks
    assert "short-time Fourier transform" in opened.locator(".player figcaption").nth(1).inner_text()
    opened.evaluate("document.querySelectorAll('audio')[1].play()")
    opened.wait_for_function("document.querySelectorAll('audio')[1].currentTime > 0.1")
    assert opened.evaluate("document.querySelectorAll('audio')[1].duration") == pytest.approx(SECONDS, abs=0.2)


def test_the_page_is_small_and_bounded(written):
    assert written.stat().st_size < 2_000_000
    pictures = sum(len(json.dumps(u["picture"])) for u in data_of(written)["utterances"])
    assert pictures < 4 * 150_000


def test_accents_take_turns():
    accents = ["x", "x", "x", "y", None]
    utterances = [Utterance(str(i), "s", Path("a"), "", 1.0, "", accent=accent) for i, accent in enumerate(accents)]
    assert [utterance.id for utterance in spread(utterances)] == ["0", "3", "4", "1", "2"]
