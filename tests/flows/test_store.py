"""Flows `collect` and `learn` with the feedback store between them, and a withdrawal afterwards."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from labeling.store import accounts
from labeling.store.assignments import next_task
from labeling.store.database import FeedbackStore
from labeling.store.judgements import Answer, judge
from labeling.store.schema import Batch, Labeler, Snapshot
from tests.flows.conftest import SMOKE, Workplace

LABELS = "labels={kind: store}"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def batch_id(workplace: Workplace, first_report: dict) -> str:
    """The batch that `collect` publishes; everything before it is cached from the first run of `rlhf`."""
    done = workplace.rein("collect", SMOKE)
    assert done.returncode == 0, done.stderr[-3000:]
    return re.search(r"^batch: (b_\w+) in sqlite", done.stdout, flags=re.MULTILINE)[1]


@pytest.fixture(scope="module")
def store(workplace: Workplace, batch_id: str):
    """The store, in which two stand-ins for people have ranked everything, longest completion first."""
    opened = FeedbackStore(workplace.store_url)
    for name in ("ann", "ben"):
        with opened.write() as session:
            accounts.add_labeler(session, name, False, NOW)
            session.flush()
            labeler = session.scalar(select(Labeler).where(Labeler.name == name)).id
            batch = session.get_one(Batch, batch_id)
            while given := next_task(session, batch, labeler, NOW):
                by_length = sorted(given.completions, key=lambda one: (-len(one[1]), one[0]))
                answer = Answer(f"{name}{given.assignment_id}", tuple((one,) for one, _ in by_length))
                judge(session, given.assignment_id, labeler, answer, NOW)
    yield opened
    opened.close()


def test_a_batch_is_published_once(workplace, batch_id, store):
    assert f"batch: {batch_id} in" in workplace.rein("collect", SMOKE).stdout
    with store.read() as session:
        [batch] = session.scalars(select(Batch))
    assert (batch.criterion, batch.task, batch.labelers_per_prompt) == ("helpfulness", {"kind": "ranking"}, 3)


def test_learning_from_the_store_and_withdrawing_from_it(workplace, store):
    report = workplace.report("learn", SMOKE, LABELS)
    assert report["rankings"] == 80 and report["krippendorff_alpha"] == pytest.approx(1.0)  # 2 labelers x 40 prompts
    assert report["simulated_labelers"] is False
    again = workplace.report("learn", SMOKE, LABELS)
    assert again["stages_run"] == [] and again["artifacts"] == report["artifacts"]
    with store.read() as session:
        [snapshot] = session.scalars(select(Snapshot))
    assert (snapshot.num_rankings, snapshot.num_ratings) == (80, 0)
    done = workplace.rein("withdraw", "ann", "--reason", "asked to")
    assert done.returncode == 0, done.stderr[-3000:]
    learned = [line for line in done.stdout.splitlines() if line.startswith("learned from it: ")]
    assert len(learned) == 2 and snapshot.sha256[:16] in done.stdout
    assert f"policy {report['artifacts']['ppo']} rein-policy v" in done.stdout
    assert f"reward-model {report['artifacts']['reward']} rein-reward v" in done.stdout
    without = workplace.report("learn", SMOKE, LABELS)
    assert without["rankings"] == 40 and without["artifacts"]["reward"] != report["artifacts"]["reward"]


def test_an_empty_store_and_missing_instructions_are_named(workplace, store):
    done = workplace.rein("learn", SMOKE, "labels={kind: store, criterion: brevity}")
    assert done.returncode == 1
    assert "DataError: the feedback store holds no judgement by 'brevity'" in done.stderr
    prompts = workplace.folder / "prompts.txt"
    prompts.write_text("My house is too hot.\n" * 3)
    done = workplace.rein("collect", SMOKE, f"prompts={{source: {{kind: file, path: {prompts}}}, num_prompts: 1}}")
    assert done.returncode == 1
    assert "ConfigError: batch.instructions: name a Markdown file" in done.stderr
