"""What a person reads of a run: pictures, and what was changed. The rest is tested on whole runs in tests/flows."""

from types import SimpleNamespace

import pytest
from matplotlib.collections import PathCollection

from models.conversation import conversation
from models.evaluation.metrics import Match
from models.records import Artifact, StepMetrics, write_records
from tasks.reporting.note import HEADLINE, POLICY_FIGURES, REWARD_FIGURES
from tasks.reporting.plots import plot_against_kl, plot_calibration, plot_checks, plot_score_against_kl, plot_updates
from tasks.reporting.report import before_and_after, sample_table, seconds_to_better
from tasks.running.pipeline_run import StageOutcome, describe_changes

STEPS = [
    StepMetrics(
        step=step,
        num_steps=3,
        values={"objective/scores": step * 2.0, "objective/kl": step / 4, "objective/entropy": 30.0 - step, "lr": 0.1},
    )
    for step in range(3)
]


def test_score_kl_and_entropy_are_drawn_against_the_update(tmp_path):
    figure = plot_updates(STEPS)
    drawn = [axes.lines[0].get_xydata().tolist() for axes in figure.axes]
    assert drawn == [
        [[0, 0], [1, 2], [2, 4]],
        [[0, 0], [1, 0.25], [2, 0.5]],
        [[0, 30], [1, 29], [2, 28]],
    ]
    assert [axes.get_ylabel().split()[:2] for axes in figure.axes] == [
        ["mean", "score"],
        ["KL", "to"],
        ["entropy,", "nats"],
    ]
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_judges_and_score_are_drawn_against_the_distance_nearest_first(tmp_path):
    checks = [
        StepMetrics(step=step, num_steps=3, values={"score": score, "rule/win_rate": rate, "own/win_rate": 0.9})
        for step, score, rate in ((0, 0.0, 0.5), (1, 2.0, 0.4), (2, 1.0, 0.7), (3, 3.0, 0.1))
    ]
    judges = {"rule": {"independent": True}, "own": {"independent": False}, "people": {"independent": True}}
    figure = plot_against_kl(checks, {0: -0.01, 1: 8.0, 2: 3.0}, judges, kept=2)
    axes, beside = figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in (*axes.lines, *beside.lines)}
    assert drawn["rule"] == [[0, 0.5], [3, 0.7], [8, 0.4]], "the last one's KL is not known"
    assert drawn["its own score"] == [[0, 0], [3, 1], [8, 2]] and axes.lines[1].get_linestyle() == ":"
    assert "people" not in drawn and [text.get_text() for text in axes.texts] == ["kept"]
    figure.savefig(tmp_path / "plot.svg")


def test_calibration_is_drawn_against_what_is_claimed(tmp_path):
    bands = [
        {"mean_probability": 0.55, "accuracy": 0.5, "num_pairs": 1000},
        {"mean_probability": 0.9, "accuracy": 0.95, "num_pairs": 10},
    ]
    figure = plot_calibration(bands)
    (axes,) = figure.axes
    assert axes.lines[1].get_xydata().tolist() == [[0.55, 0.5], [0.9, 0.95]]
    assert [text.get_text() for text in axes.texts] == ["1,000", "10"]
    figure.savefig(tmp_path / "plot.svg")


def test_samples_show_conversations_as_they_are_read():
    talk = [("system", "Be brief."), ("user", "Hi"), ("assistant", "<b>Hello!</b>"), ("user", "Why?")]
    prompt = conversation([{"role": role, "content": text} for role, text in talk])
    match = Match(
        prompt=prompt,
        base_completion="No.",
        policy_completion="Yes.",
        base_score=0,
        policy_score=1,
        base_ended=True,
        policy_ended=True,
        kl_nats=2,
    )
    table = sample_table([match])
    assert list(table)[:2] == ["prompt", "policy_completion"] and table["policy_score"] == [1]
    assert table["prompt"] == ["System: Be brief.\n\nHuman: Hi\n\nAssistant: <b>Hello!</b>\n\nHuman: Why?"]
    assert before_and_after([match, match]).split("\n\n") == [
        *(
            told := [
                "**System: Be brief. Human: Hi Assistant: &lt;b&gt;Hello!&lt;/b&gt; Human: Why?**",
                "before (0.00): No.",
                "after (1.00, KL 2.0 nats): Yes.",
            ]
        ),
        "---",
        *told,
    ]


@pytest.mark.parametrize(("num", "named"), [(3, ["update 0", "update 2"]), (1, ["update 0"])])
def test_score_is_drawn_against_kl_with_its_ends_named(num, named):
    axes = plot_score_against_kl(STEPS[:num]).axes[0]
    (dots,) = (one for one in axes.collections if isinstance(one, PathCollection))
    assert dots.get_offsets().tolist() == [[0, 0], [0.25, 2], [0.5, 4]][:num]
    assert [text.get_text() for text in axes.texts] == named


def test_checks_are_drawn_for_each_judge_with_what_is_to_be_marked():
    ends = {"": 0.6, "_low": 0.5, "_high": 0.7}
    values = {f"{judge}/win_rate{end}": value for judge in ("facts", "own") for end, value in ends.items()}
    checks = [StepMetrics(step=step, num_steps=11, values={"score": step / 2, **values}) for step in (0, 5, 10)]
    judges = {"facts": {"independent": True}, "own": {"independent": False}, "people": {"independent": True}}
    said, cost, beside = plot_checks(checks, {0: 0.0, 5: 3.0}, judges, {"kept": 5, "facts's best": 10}).axes
    curves = [line for line in said.get_lines() if len(line.get_xdata()) == 3]
    assert [line.get_label() for line in curves] == ["facts", "own"], "people have judged no check"
    assert all(list(line.get_ydata()) == [0.6] * 3 and list(line.get_xdata()) == [0, 5, 10] for line in curves)
    assert list(cost.get_lines()[0].get_ydata()) == [0, 2.5, 5]
    assert list(beside.get_lines()[0].get_ydata()) == [0.0, 3.0]
    assert [text.get_text() for text in said.texts] == ["kept", "facts's best"]
    marked = sorted(line.get_xdata()[0] for line in said.get_lines() if len(set(line.get_xdata())) == 1)
    assert marked == [5, 10]


@pytest.mark.parametrize("figures", [HEADLINE, POLICY_FIGURES, REWARD_FIGURES])
def test_what_people_said_themselves_goes_before_their_consensus(figures):
    held_out = [name for name in figures if name.startswith("reward_") and "calibration" not in name]
    interval = ["reward_labeler_accuracy_low", "reward_labeler_accuracy_high"]
    beside = [*interval, "reward_labeler_ceiling", "reward_length_rule", "reward_ngrams"]
    assert held_out == ["reward_labeler_accuracy", *beside, "reward_accuracy"]


def test_changes_name_key_old_and_new():
    before = {"seed": "0", "tuning.kl.coef": "0.05", "tuning.ptx": "None", "count/pairs": "600"}
    after = {"seed": "0", "tuning.kl.coef": "0.1", "tuning.ptx.coef": "1"}
    changes = "tuning.kl.coef 0.05 → 0.1, tuning.ptx None → unset, tuning.ptx.coef unset → 1"
    assert describe_changes(after, "rlhf calm-owl", before) == f"{changes}, since rlhf calm-owl"
    assert describe_changes(before, "rlhf calm-owl", before) == "nothing, since rlhf calm-owl"


def test_seconds_until_the_judge_said_better_are_those_of_the_work_up_to_there(tmp_path):
    def outcome(kind: str, seconds: float, steps: list[StepMetrics]) -> StageOutcome:
        folder = tmp_path / kind
        folder.mkdir()
        if steps:
            write_records(folder / "steps.jsonl", steps)
        artifact = Artifact(kind=kind, uri=str(folder), sha256="0" * 64, rows=1, run_id="r")
        return StageOutcome(kind, artifact, cached=True, metrics={}, reads_data=False, seconds=seconds)

    updates = [StepMetrics(step=step, num_steps=4, values={"update_seconds": 1.5}) for step in range(4)]
    outcomes = [outcome("texts", 2.0, []), outcome("reward-model", 30.0, STEPS), outcome("policy", 9.0, updates)]

    def seconds(better_at_update: int | None) -> float | None:
        return seconds_to_better(SimpleNamespace(outcomes=outcomes, metrics={"better_at_update": better_at_update}))

    assert seconds(3) == 2.0 + 30.0 + 3 * 1.5  # before update 3 three updates had been made
    assert seconds(None) is None
