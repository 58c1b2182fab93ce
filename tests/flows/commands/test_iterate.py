"""Flow `iterate` for real: rounds with simulated labelers in one call, and with people a round a call."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from labeling.store import accounts
from labeling.store.assignments import next_task
from labeling.store.database import FeedbackStore
from labeling.store.judgements import Answer, judge
from labeling.store.schema import Batch, Labeler
from models.records import Completion, Prompt, read_records
from tests.flows.conftest import SMOKE, Workplace

BRIEF = (
    *("prompts.num_prompts=60", "generation.num_completions=3", "tuning.num_updates=1"),
    *("evaluation.num_prompts=4", "evaluation.num_samples=1"),
)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def records(report: dict, stage: str, file: str, kind: type) -> list:
    return read_records(Path(report["artifacts"][stage], file), kind)


def manifest(report: dict, stage: str) -> dict:
    return json.loads(Path(report["artifacts"][stage], "manifest.json").read_text(encoding="utf-8"))


def was_written_by(report: dict, completions: str, policy: str) -> bool:
    return (
        manifest(report, completions)["made"]["inputs"]["base"]["sha256"]
        == manifest(report, policy)["artifact"]["sha256"]
    )


def test_each_round_asks_about_other_prompts_and_what_the_policy_before_writes(apart: Workplace, first_report):
    report = apart.report("iterate", SMOKE, *BRIEF)
    rounds = ("round-1/", "")
    dealt = [
        {one.id for one in records(report, f"round-{number}/round-prompts", "prompts.jsonl", Prompt)}
        for number in (1, 2)
    ]
    assert not dealt[0] & dealt[1] and len(dealt[0] | dealt[1]) == 60
    written = [records(report, f"{name}completions", "completions.jsonl", Completion) for name in rounds]
    assert all({one.prompt_id for one in own} <= asked for own, asked in zip(written, dealt, strict=True))
    assert was_written_by(report, "round-1/completions", "sft")
    assert was_written_by(report, "completions", "round-1/tuning")
    said = records(report, "joined-feedback", "completions.jsonl", Completion)
    assert {one.id for one in said} == {one.id for own in written for one in own}, "all that was said is learned from"
    for figure in ("reward_accuracy", "reward_labeler_accuracy"):
        assert all(0 <= report[f"{reward}/{figure}"] <= 1 for reward in ("earlier-reward", "this-reward"))
    assert report["simulated_labelers"] and all(0 <= report[f"{name}win_rate"] <= 1 for name in rounds)
    assert apart.report("iterate", SMOKE, *BRIEF)["stages_run"] == []


def rank(place: Workplace, batch_id: str) -> None:
    """Two stand-ins for people, longest completion first."""
    opened = FeedbackStore(place.store_url)
    for name in ("ann", "ben"):
        with opened.write() as session:
            if session.scalar(select(Labeler).where(Labeler.name == name)) is None:
                accounts.add_labeler(session, name, False, NOW)
            labeler = session.scalar(select(Labeler).where(Labeler.name == name)).id
            batch = session.get_one(Batch, batch_id)
            while given := next_task(session, batch, labeler, NOW):
                ordered = sorted(given.completions, key=lambda one: -len(one[1]))
                judge(
                    session,
                    given.assignment_id,
                    labeler,
                    Answer(f"{name}{given.assignment_id}", tuple((one,) for one, _ in ordered)),
                    NOW,
                )
    opened.close()


def test_with_people_a_call_learns_from_what_they_said_and_publishes_the_next_round(
    workplace: Workplace, first_report, tmp_path
):
    place = Workplace(tmp_path, workplace.prefect_url)
    asked = ("iterate", SMOKE, *BRIEF, "labels={kind: store}")

    def call() -> tuple[str, dict | None]:
        done = place.rein(*asked)
        assert done.returncode == 0, done.stderr[-3000:]
        batch = re.search(r"^batch: (b_\w+) in sqlite", done.stdout, flags=re.MULTILINE)
        return batch and batch[1], place.report_of(done) if "report: " in done.stdout else None

    first, report = call()
    assert report is None, "nobody has said anything yet"
    too_early = place.rein(*asked)
    assert too_early.returncode == 1 and f"no judgement by 'helpfulness' of batch {first}" in too_early.stderr
    rank(place, first)
    second, report = call()
    assert second != first and report["rankings"] > 0 and "earlier-reward/reward_accuracy" not in report
    assert was_written_by(
        report | {"artifacts": report["artifacts"] | made(place, "completions")}, "completions", "tuning"
    )
    too_early = place.rein(*asked)
    assert too_early.returncode == 1 and f"no judgement by 'helpfulness' of batch {second}" in too_early.stderr
    rank(place, second)
    third, last = call()
    assert third is None, "both rounds are done"
    assert last["rankings"] > report["rankings"]
    assert all(0 <= last[f"{reward}/reward_accuracy"] <= 1 for reward in ("earlier-reward", "this-reward"))


def made(place: Workplace, stage: str) -> dict[str, str]:
    """The newest artifact of a stage, which came after the report."""
    return {stage: str(max(place.root.glob(f"artifacts/{stage}-*"), key=lambda one: one.stat().st_mtime))}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("labels={kind: folder, path: nowhere}", "labels.kind folder: rounds need labelers to ask"),
        ("iteration.num_rounds=40", "60 prompts are too few for 40 rounds: round"),
        ("iteration.num_rounds=1", "iteration.num_rounds"),
        (
            "reward={kind: mixture, parts: {a: {}, b: {labels: {kind: store}}}}",
            "labels.kind store cannot answer at once",
        ),
    ],
)
def test_what_gives_no_rounds_is_said_in_a_line(apart: Workplace, first_report, setting, said):
    done = apart.rein("iterate", SMOKE, *BRIEF, setting)
    assert done.returncode == 1 and said in done.stderr
