"""What the labels of several rewards have to do with each other: sides of the split, and labelers who are held out."""

from pathlib import Path

import pytest

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback
from models.errors import DataError
from models.records import Artifact, Completion, Prompt, Ranking, read_records
from tasks.running.stage import Work
from tasks.stages.hold_out import hold_out_labelers
from tasks.stages.labels import require_one_side


def feedback(folder: Path, labeler: str = "ann", **sides: str) -> Artifact:
    """A snapshot in which somebody has ranked two completions of each of these prompts (text -> side)."""
    prompts = [Prompt.of(text, side) for text, side in sides.items()]
    completions = [Completion.of(prompt.id, text) for prompt in prompts for text in ("so", "or so")]
    rankings = [
        Ranking.of(prompt.id, labeler, "quality", [[one.id] for one in completions if one.prompt_id == prompt.id])
        for prompt in prompts
    ]
    folder.mkdir()
    export_raw(Feedback(prompts, completions, rankings), folder)
    return Artifact(kind="feedback", uri=str(folder), sha256="0" * 64, rows=len(rankings), run_id="r")


def test_a_prompt_that_stands_on_two_sides_is_named_with_both(tmp_path):
    own = feedback(tmp_path / "own", cook="train", clean="test")
    alike = feedback(tmp_path / "alike", clean="test", paint="train")
    other = feedback(tmp_path / "other", paint="validation")
    require_one_side(own, {"alike": alike})
    with pytest.raises(DataError) as caught:
        require_one_side(own, {"alike": alike, "other": other})
    complaint = "reward.parts.other.labels: the prompt 'paint' is on side validation, and in reward.parts.alike.labels on side train"
    assert str(caught.value).startswith(complaint)
    with pytest.raises(DataError, match=r"'cook' is on side test, and in labels on side train"):
        require_one_side(own, {"other": feedback(tmp_path / "third", cook="test")})


def test_whoever_is_held_out_need_not_have_ranked_for_every_part(tmp_path):
    given = feedback(tmp_path / "given", cook="train", clean="test")
    work = Work("hold-out", tmp_path / "told", tracked=None, checkpoint_folder=tmp_path)
    work.folder.mkdir()
    with pytest.raises(DataError, match="held_out_labelers: ben ranked nothing"):
        hold_out_labelers.__wrapped__(work, ("ben",), feedback=given)
    assert hold_out_labelers.__wrapped__(work, ("ben",), feedback=given, of_part=True) == 2
    assert [one.labeler for one in read_records(work.folder / "rankings.jsonl", Ranking)] == ["ann"] * 2
