"""examples/saliency.ipynb runs by itself, and shows what it says."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

TOP = Path(__file__).resolve().parents[2]
NOTEBOOK = TOP / "examples" / "saliency.ipynb"
CHECK = """
import json
print(json.dumps({
    "shapes": [list(x.shape) for x in (features[key], unit, keep, masked)],
    "audio": [list(audio[key].shape), list(sound.shape)],
    "energy": [float((audio[key] ** 2).sum()), float((sound ** 2).sum())],
    "changed": bool(((masked != features[key]) == ~keep).all()),
    "spoken": digits[key],
    "transcripts": both,
    "accents": {name: accent_of(m).tolist() for name, m in (("before", features[key]), ("after", masked))},
}))
"""


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    """The notebook after a run, with a cell more that prints what there is to check."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TOP / "local"))
        # Where the notebook lies in no checkout, nothing of a recipe can be used by accident.
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "/"}}).execute()
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_it_goes_from_audio_to_map_mask_sound_and_transcripts(executed):
    found = json.loads(executed.cells[-1].outputs[0].text)
    frames = found["shapes"][0][0]
    assert found["shapes"] == [[frames, 80]] * 4 and frames == -(-found["audio"][0][0] // 160)
    assert found["audio"][0] == found["audio"][1]
    assert 0 < found["energy"][1] < found["energy"][0] and found["changed"]
    assert set(found["transcripts"]) == {"before", "after"}
    assert found["transcripts"]["before"] == found["spoken"]
    assert np.allclose(np.sum(list(found["accents"].values()), axis=1), 1)
    assert found["accents"]["before"][1] > 0.5


def test_it_shows_pictures_and_sound(executed):
    kinds = [kind for output in outputs(executed) for kind in output.get("data", {})]
    assert kinds.count("image/png") == 1
    players = [output.data["text/html"] for output in outputs(executed) if "text/html" in output.get("data", {})]
    assert len(players) == 2 and all("<audio" in player and "data:audio/wav;base64," in player for player in players)


def test_the_map_hides_the_accent_better_than_chance_does(executed):
    table = "".join(output.get("text", "") for output in outputs(executed))
    rates = {how: (float(a), float(w)) for how, a, w in re.findall(r"^(\w+) +([\d.]+) % +([\d.]+) %", table, re.M)}
    assert set(rates) == {"nothing", "gradcam", "random"}
    assert min(rates["nothing"]) >= 80
    assert rates["gradcam"][0] < rates["random"][0] - 2


def test_it_is_committed_small_with_its_pictures_and_without_its_sound():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 300_000
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 1
    assert "data:audio" not in NOTEBOOK.read_text()
    assert not any(output.output_type == "error" for output in outputs(notebook))
