"""results.json as a file: what a row leaves out, and that it comes back."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from salience.scoring.results import new_row, read_results, run_fields, write_results

COMMON = {"corpus": "toy", "synthetic": False, "command": "./run.sh", "commit": "abc", "date": "2026-01-31"}


def test_rows_leave_out_what_their_run_says(tmp_path):
    path, other = tmp_path / "results.json", {**COMMON, "corpus": "another"}
    rows = [new_row(COMMON, value=1.5), new_row({**COMMON, "commit": "older"}, value=2.5), new_row(other, value=3.5)]
    write_results(path, {"rows": rows, "comparisons": [], "runs": [run_fields(COMMON)]})
    first, older, alone = json.loads(path.read_text())["rows"]
    assert not {"command", "commit", "date"} & set(first) and first["value"] == 1.5
    assert older["commit"] == "older" and "command" not in older
    assert alone["command"] == "./run.sh"
    assert read_results(path)["rows"] == rows


words = st.sampled_from(["a", "b"])
fields = {"corpus": words, "synthetic": st.booleans(), "command": words, "commit": words, "date": words}
runs = st.fixed_dictionaries(fields)


@settings(max_examples=25)
@given(rows=st.lists(runs), records=st.lists(runs, unique_by=lambda run: (run["corpus"], run["synthetic"])))
def test_what_is_written_is_read(tmp_path_factory, rows, records):
    path = tmp_path_factory.mktemp("results") / "results.json"
    results = {"rows": rows, "comparisons": [], "runs": records}
    write_results(path, results)
    assert read_results(path) == results
