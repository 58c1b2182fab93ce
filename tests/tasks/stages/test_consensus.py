"""The figures that stage `consensus` leaves, of rankings and of thumbs."""

from pathlib import Path

import pytest

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback, rankings_of_ratings
from models.records import Artifact, Completion, Prompt, Rating
from models.settings.pipeline import ConsensusConfig
from tasks.running.stage import Work
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.hold_out import hold_out_labelers


def agreed(folder: Path, feedback: Feedback, held_out: tuple[str, ...]) -> Work:
    """What the stages' bodies make of this feedback, without a flow around them."""
    given, told, made = (folder / name for name in ("given", "told", "made"))
    for one in (given, told, made):
        one.mkdir()
    export_raw(feedback, given)
    if held_out:
        work = Work("hold-out", told, tracked=None, checkpoint_folder=folder)
        hold_out_labelers.__wrapped__(work, held_out, feedback=handle(given))
    work = Work("consensus", made, tracked=None, checkpoint_folder=folder)
    agree_on_rankings.__wrapped__(work, ConsensusConfig(), feedback=handle(told if held_out else given))
    return work


def handle(folder: Path) -> Artifact:
    return Artifact(kind="feedback", uri=str(folder), sha256="", rows=0, run_id="")


@pytest.mark.parametrize("held_out", [(), ("eve",)])
def test_thumbs_are_taken_over_all_prompts_together(tmp_path, held_out):
    """The ten articles of Krippendorff 2011, section A, five prompts of two; alpha .095. Eve, if held out, is in no figure."""
    meg, owen = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    prompts = [Prompt.of(f"Article {number}?", "train") for number in range(5)]
    completions = [Completion.of(prompts[number // 2].id, f"answer {number}") for number in range(10)]
    people = {"meg": meg, "owen": owen} | dict.fromkeys(held_out, (1,) * 10)
    ratings = [
        Rating.of(one.prompt_id, one.id, name, "clear", bool(answer))
        for name, answers in people.items()
        for one, answer in zip(completions, answers, strict=True)
    ]
    feedback = Feedback(prompts, completions, rankings_of_ratings(ratings), ratings)
    work = agreed(tmp_path, feedback, held_out)
    assert round(work.metrics["krippendorff_alpha"], 3) == 0.095
    assert (work.metrics["percent_agreement"], work.metrics["leave_one_out_agreement"]) == (0.6, 0.6)
    assert "| clear | 20 ratings | 0.095 | n/a | 60.0% | 60.0% |" in work.notes[0]
