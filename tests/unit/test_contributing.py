"""The examples of CONTRIBUTING.md work as they stand."""

import re

import numpy as np
import pytest
import torch
from accent_helpers import classifier
from corpora_helpers import TOP

from salience.masking.policies import POLICIES
from salience.models.recognisers import RECOGNISERS
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import METHODS


@pytest.fixture
def examples():
    """Runs the code of CONTRIBUTING.md; afterwards nothing of it is registered."""
    before = [(registry, dict(registry)) for registry in (METHODS, POLICIES, RECOGNISERS)]
    for code in re.findall(r"```python\n(.*?)```", (TOP / "CONTRIBUTING.md").read_text(), re.DOTALL):
        exec(code, {"__name__": "example"})
    yield
    for registry, entries in before:
        for name in registry.keys() - entries.keys():
            del registry[name]


def test_what_the_examples_add_is_found_and_works(examples):
    explained, lengths = ExplainedAccents(classifier()), [120, 90]
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 120, 80)).astype(np.float32))
    maps = METHODS["gradient"](explained, features, lengths, explained.predicted(features, lengths), [])
    assert [found.values.shape for found in maps] == [(120, 80), (90, 80)]
    assert all((found.values >= 0).all() and found.values.any() for found in maps)
    unit = maps[1].unit(90, 80)
    keep = POLICIES["threshold"](above=0.6).keep(unit, np.random.default_rng(1))
    assert keep.dtype == bool and (keep == (unit <= 0.6)).all()
    assert RECOGNISERS["mine"](language="fa").settings() == {"language": "fa"}


def test_the_files_that_it_names_are_there():
    names = re.findall(r"`((?:local|tests|egs|utils)/[\w./]+\.(?:py|md|csv|sh)|\w+\.(?:yaml|toml|md))`",
                       (TOP / "CONTRIBUTING.md").read_text())  # fmt: skip
    places = [TOP, TOP / "egs/fsdd", TOP / "egs/fsdd/conf", TOP / "local/salience/corpora"]
    missing = {name for name in names if not any((place / name).exists() for place in places)}
    assert not missing and len(names) > 5
