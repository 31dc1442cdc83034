"""When a step is skipped, done again, and not recorded."""

import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from accent_helpers import noise
from corpora_helpers import TOP

from salience.errors import InputError
from salience.features.archives import ArchiveWriter
from salience.files import read_json, whole_file, write_json
from salience.masking.policies import ProbabilisticPolicy, SpecAugmentPolicy
from salience.masking.systems import System
from salience.steps import Step, fingerprint, stage_of


@pytest.fixture
def place(tmp_path, monkeypatch, caplog):
    """A folder with one input, `in.txt`; steps write `out.txt`."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    Path("in.txt").write_text("hello\n")
    return tmp_path


def step(**config: object) -> Step:
    """The step of these tests, as a program would make it."""
    return Step(Path("exp/step.json"), {"seed": 1, **config}, inputs=[Path("in.txt")], outputs=[Path("out.txt")])


def do(one: Step) -> None:
    """Its work."""
    with one:
        Path("out.txt").write_text("done\n")


def test_a_done_step_is_skipped_and_says_so(place, caplog):
    assert not step().is_done()
    assert "again" not in caplog.text
    do(step())
    assert step().is_done()
    assert "up to date, skipped: exp" in caplog.text


def test_the_record_tells_what_was_done(place):
    do(step(policy=ProbabilisticPolicy()))
    record = read_json(Path("exp/step.json"))
    assert record["config"]["seed"] == 1 and record["config"]["policy"]["middle_rate"] == [0.7, 0.9]
    assert list(record["inputs"]) == ["in.txt"] and record["outputs"] == {"out.txt": 5}
    assert record["versions"]["numpy"] and record["seconds"] >= 0 and record["peak_memory_mb"] > 0
    assert {"command", "commit", "date"} <= record.keys()


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"rate": 0.1}, {"rate": 0.2}, "rate changed from 0.1 to 0.2"),
        ({}, {"new": True}, "new changed from None to True"),
        ({"old": "x"}, {}, "old changed from 'x' to None"),
        ({"system": System()}, {"system": System(fill="mean")}, "system changed"),
    ],
)
def test_a_changed_configuration_is_a_reason(place, caplog, before, after, reason):
    do(step(**before))
    assert not step(**after).is_done()
    assert f"done again, because {reason}" in caplog.text


def test_settings_compare_equal_after_the_round_trip(place):
    do(step(system=System(policy=SpecAugmentPolicy()), path=Path("x"), rates=(1, 2.5)))
    assert step(system=System(policy=SpecAugmentPolicy()), path=Path("x"), rates=[1, 2.5]).is_done()


def test_a_changed_input_is_a_reason(place, caplog):
    do(step())
    Path("in.txt").write_text("world\n")
    assert not step().is_done()
    assert "done again, because its input in.txt changed" in caplog.text


def test_touching_an_input_is_none(place):
    do(step())
    Path("in.txt").write_text("hello\n")
    assert step().is_done()


def test_a_missing_output_is_a_reason(place, caplog):
    do(step())
    Path("out.txt").unlink()
    assert not step().is_done()
    assert "done again, because out.txt is missing" in caplog.text


def test_an_output_that_was_cut_off_is_a_reason(place, caplog):
    do(step())
    Path("out.txt").write_text("do")
    assert not step().is_done()
    assert "done again, because out.txt is not as it was written" in caplog.text


def archive_step() -> Step:
    """A step that writes an archive, as the jobs of an array do, in stage 2."""
    return Step(Path("dump/feats.1.step.json"), {}, outputs=[Path("dump/feats.1.scp")])


@pytest.fixture
def archive(place, monkeypatch):
    """The archive of that step, and an scp beside it that the jobs' parts were merged into."""
    monkeypatch.setenv("SALIENCE_STAGE", "2")
    with archive_step(), ArchiveWriter(Path("dump/feats.1")) as writer:
        writer.write("a", noise(3, 2))
    Path("dump/feats.scp").write_text(Path("dump/feats.1.scp").read_text())
    return Path("dump/feats.1.ark")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["removed", "emptied"])
def test_a_harmed_archive_is_written_again_and_is_no_input_before(archive, harm, caplog):
    use = Step(Path("exp/step.json"), {}, inputs=[Path("dump/feats.scp")])
    assert archive_step().is_done() and not use.is_done()
    harm(archive)
    assert not archive_step().is_done() and f"{archive} is not as it was written" in caplog.text
    with pytest.raises(InputError, match=rf"{archive} .*run the step"):
        Step(Path("exp/step.json"), {}, inputs=[Path("dump/feats.scp")])


def test_a_record_as_input_stands_for_all_its_step_wrote(archive):
    Step(Path("exp/step.json"), {}, inputs=[Path("dump/feats.1.step.json")])
    archive.write_bytes(b"")
    with pytest.raises(InputError, match=f"{archive} has 0 bytes"):
        Step(Path("exp/step.json"), {}, inputs=[Path("dump/feats.1.step.json")])
    Path("dump/feats.1.step.json").unlink()
    with pytest.raises(InputError, match="its step was not finished"):
        Step(Path("exp/step.json"), {}, inputs=[Path("dump/feats.1.step.json")])


def test_records_of_earlier_versions_still_count(place):
    do(step())
    record = read_json(Path("exp/step.json"))
    write_json(Path("exp/step.json"), {**record, "outputs": ["out.txt"]})
    assert step().is_done()


def test_the_stage_that_wrote_a_file(archive, monkeypatch):
    assert stage_of(archive) == 2 and stage_of(Path("dump/feats.scp")) == 2
    assert stage_of(Path("data/train/text")) is None
    monkeypatch.setenv("SALIENCE_STAGES", "downloads=0 data=1 dump=3")
    assert stage_of(Path("data/train/text")) == 1 and stage_of(Path.cwd() / "downloads/a.wav") == 0
    assert (
        stage_of(archive) == 2 and stage_of(Path("dump/other/feats.scp")) == 2 and stage_of(Path("/etc/passwd")) is None
    )


def test_an_unreadable_record_is_a_reason(place, caplog):
    do(step())
    Path("exp/step.json").write_text('{"config": {')
    assert not step().is_done()
    assert "its record cannot be read" in caplog.text


def test_a_failed_step_is_not_recorded(place):
    do(step())
    with pytest.raises(RuntimeError), step():
        Path("out.txt").write_text("half")
        raise RuntimeError
    assert not Path("exp/step.json").exists() and not step().is_done()


def test_a_killed_step_is_not_recorded(place):
    """Neither when it ran before, nor by what it left at the moment of its death."""
    do(step())
    program = f"""
        import os, sys
        sys.path.insert(0, {str(TOP / "local")!r})
        from pathlib import Path
        from salience.files import whole_file
        from salience.steps import Step
        with Step(Path("exp/step.json"), {{"seed": 1}}, inputs=[Path("in.txt")], outputs=[Path("out.txt")]):
            with whole_file(Path("out.txt")) as handle:
                handle.write("half")
                handle.flush()
                os.kill(os.getpid(), 9)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False).returncode == -9
    assert Path("out.txt").read_text() == "done\n"
    assert not Path("exp/step.json").exists() and not step().is_done()
    do(step())
    assert step().is_done() and Path("out.txt").read_text() == "done\n"


def test_what_other_work_left_unfinished_is_not_taken_up(place):
    """An interrupted step's partial results are kept for the same configuration and inputs only."""

    def interrupted(**config) -> bool:
        one = Step(
            Path("exp/step.json"), config, inputs=[Path("in.txt")], outputs=[Path("out.txt")], partial=Path("exp/half")
        )
        with pytest.raises(RuntimeError), one:
            there = Path("exp/half/checkpoint").exists()
            Path("exp/half/checkpoint").touch()
            raise RuntimeError
        return there

    Path("exp/half").mkdir(parents=True)
    Path("exp/half/checkpoint").touch()
    # Nobody knows who left it.
    assert not interrupted(rate=1)
    assert interrupted(rate=1)
    assert not interrupted(rate=2)
    Path("in.txt").write_text("changed\n")
    assert not interrupted(rate=2)
    assert interrupted(rate=2)
    Path("exp/half/work.json").write_text("{")
    assert not interrupted(rate=2)


def test_an_scp_is_known_with_its_archives(place):
    for seed in (1, 2):
        with ArchiveWriter(Path("feats")) as writer:
            writer.write("a", noise(seed, (3, 4)))
        if seed == 1:
            scp, before = Path("feats.scp").read_text(), fingerprint(Path("feats.scp"))
    assert Path("feats.scp").read_text() == scp
    assert fingerprint(Path("feats.scp")) != before


def test_a_folder_is_known_by_names_and_contents(place):
    folder = Path("data")
    folder.mkdir()
    (folder / "a").write_text("1")
    first = fingerprint(folder)
    (folder / "a").rename(folder / "b")
    renamed = fingerprint(folder)
    (folder / "b").write_text("2")
    assert len({first, renamed, fingerprint(folder)}) == 3


def test_a_whole_file_is_whole_or_absent(place):
    with pytest.raises(ValueError), whole_file(Path("new/a.txt")) as handle:
        handle.write("half")
        raise ValueError
    assert list(Path("new").iterdir()) == []
    write_json(Path("new/a.json"), {"é": 1})
    assert read_json(Path("new/a.json")) == {"é": 1} and "é" in Path("new/a.json").read_text()


def test_json_that_cannot_be_read_is_one_sentence(place):
    with pytest.raises(InputError, match=r"no\.json does not exist"):
        read_json(Path("no.json"))
    Path("bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json is not JSON"):
        read_json(Path("bad.json"))


def test_the_shares_of_jobs_are_no_part_of_a_data_directory(tmp_path):
    """Else another --nj trains every recogniser again."""
    (tmp_path / "text").write_text("a hello\n")
    before = fingerprint(tmp_path)
    for share in ("split2/1", "split4utt/3"):
        (tmp_path / share).mkdir(parents=True)
        (tmp_path / share / "text").write_text("a hello\n")
    assert fingerprint(tmp_path) == before
    (tmp_path / "splits").write_text("a\n")
    assert fingerprint(tmp_path) != before
