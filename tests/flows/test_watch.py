"""What the watcher starts, starts again, gives up and leaves alone; each look is told to it, against a real Prefect server.

Runs are killed and cancelled by setting their states, as Prefect's own worker and pages do; nothing learns here.
"""

import logging
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Cancelled, Crashed, State

from cli.watch import MAX_RESTARTS, look
from flows.forms import retrain
from labeling.store.database import FeedbackStore
from labeling.store.retrainings import begin_retraining
from labeling.store.snapshots import last_judgement, note_snapshot, take_snapshot
from tasks.running.run_name import own_name
from tests.flows.conftest import Workplace
from tests.labeling.page.site import STORE
from tests.labeling.people import People
from tests.templates import empty_mlflow, empty_store

ENOUGH = 2


class Watched:
    """A deployment `retrain` over a store of its own, a watcher, and short words for what happens to its runs."""

    def __init__(self, client: SyncPrefectClient, people: People, name: str, folder: Path) -> None:
        self.client, self.people, self.name, self.told = client, people, name, set()
        places = (
            f"storage.root={folder}",
            f"tracking.uri=sqlite:///{folder}/mlflow.db",
            f"feedback.url={people.store.url}",
        )
        more = ("labels={kind: store}", f"retraining.min_new_judgements={ENOUGH}", f"tracking.policy_name={name}")
        form = {"preset": "smoke", "overrides": shlex.join(more), "places": shlex.join(places)}
        self.id = client.create_deployment(client.create_flow(retrain), "retrain", parameters={"form": form})

    def looks(self, times: int = 1) -> None:
        for _ in range(times):
            look(self.client, self.told)

    def restarts(self) -> None:
        """The watcher, which keeps nothing."""
        self.told = set()

    @property
    def runs(self) -> list[FlowRun]:
        """Those of the deployment, the first one first."""
        own = DeploymentFilter(id=DeploymentFilterId(any_=[self.id]))
        return sorted(self.client.read_flow_runs(deployment_filter=own), key=lambda run: run.created)

    def becomes(self, state: State) -> FlowRun:
        """The newest run is in this state now."""
        run = self.runs[-1]
        self.client.set_flow_run_state(run.id, state, force=True)
        return run

    def begins(self, sha256: str = "5ha1") -> None:
        """The newest run writes into the store what it learns from."""
        with self.people.store.write() as session:
            last, feedback = last_judgement(session), take_snapshot(session, "helpfulness")
            note_snapshot(session, feedback, sha256, "helpfulness", last, datetime.now(UTC))
            begin_retraining(session, self.name, sha256, str(self.runs[-1].id), datetime.now(UTC))


@pytest.fixture
def watched(
    workplace: Workplace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request, caplog
) -> Iterator[Watched]:
    shutil.copy(empty_store(tmp_path_factory), tmp_path / STORE)
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
    caplog.set_level(logging.INFO, "rein.watch")
    with (
        FeedbackStore(f"sqlite:///{tmp_path / STORE}") as store,
        workplace.prefect(),
        get_client(sync_client=True) as client,
    ):
        watched = Watched(client, People(store), request.node.name, tmp_path)
        for _ in range(ENOUGH):
            watched.people.judges("ann")
        yield watched
        for run in watched.runs:
            client.delete_flow_run(run.id)
        client.delete_deployment(watched.id)


def test_what_fails_before_it_began_is_tried_again_so_many_times_and_then_given_up(
    watched, caplog, monkeypatch, tmp_path
):
    watched.looks(3)
    (first,) = watched.runs
    assert caplog.text.count(f"started {first.name}") == 1
    monkeypatch.setenv("REIN_ALLOWED_ROOTS", str(tmp_path / "elsewhere"))
    run_flow(retrain, flow_run=first, parameters=first.parameters, return_type="state")
    for number in range(1, MAX_RESTARTS + 1):
        watched.looks(2)
        assert len(watched.runs) == 1 + number
        watched.restarts()
        last = watched.becomes(Crashed(message="killed at start"))
    assert f"{own_name(first.name)} ({first.id}) came to no decision: Failed" in caplog.text
    assert "storage.root" in caplog.text, "with the reason"
    assert f"started {last.name}, try 4 of 4" in caplog.text
    watched.looks(5)
    assert len(watched.runs) == 1 + MAX_RESTARTS
    assert caplog.text.count("given up after 4 tries") == 1
    assert f"{last.name} ({last.id}) came to no decision: Crashed: killed at start" in caplog.text
    watched.restarts()
    watched.looks(2)
    assert len(watched.runs) == 1 + MAX_RESTARTS
    assert caplog.text.count("given up after 4 tries") == 2, "told once by each watcher"

    watched.people.judges("bob")
    watched.looks(2)
    assert len(watched.runs) == 2 + MAX_RESTARTS, "new judgements start afresh"
    assert f"started {watched.runs[-1].name} on 3 new judgements" in caplog.text


def test_what_prefect_or_a_person_tries_again_is_left_alone(watched):
    watched.looks()
    watched.becomes(Crashed())
    watched.becomes(AwaitingRetry())
    watched.looks(2)
    assert len(watched.runs) == 1


def test_a_try_that_was_deleted_in_prefect_does_not_stop_the_next_one(watched):
    for _ in range(3):
        watched.looks()
        watched.becomes(Crashed())
    watched.client.delete_flow_run(watched.runs[1].id)
    watched.looks()
    assert len(watched.runs) == 3 and watched.runs[-1].state.is_scheduled()
    watched.becomes(Crashed())
    watched.looks()
    assert len(watched.runs) == 3, "the fourth was the last"


def test_one_that_completed_without_learning_is_tried_again_as_seldom(watched):
    for _ in range(6):
        watched.looks()
        watched.client.set_flow_run_state(watched.runs[-1].id, State(type="COMPLETED", name="Skipped"), force=True)
    assert len(watched.runs) == 1 + MAX_RESTARTS


def test_what_a_person_cancelled_is_not_started_again_for_the_same_judgements(watched, caplog):
    watched.looks()
    run = watched.becomes(Cancelled(message="by ann"))
    watched.looks(3)
    watched.restarts()
    watched.people.judges("bob")
    watched.looks(3)
    assert len(watched.runs) == 1, "one new judgement is not enough"
    watched.people.judges("bob")
    watched.looks()
    assert len(watched.runs) == 2
    assert f"started {watched.runs[-1].name} on 2 new judgements" in caplog.text, "the others were cancelled"
    assert run.name != watched.runs[-1].name


def test_a_killed_one_goes_on_so_many_times_and_then_is_given_up(watched, caplog):
    watched.looks()
    watched.begins()
    killed = watched.becomes(Crashed(message="No heartbeat"))
    for number in range(1, MAX_RESTARTS + 1):
        watched.looks(2)
        assert len(watched.runs) == 1 + number
        last = watched.becomes(Crashed())
    assert f"{killed.name} ({killed.id}) came to no decision: Crashed: No heartbeat; started" in caplog.text
    watched.looks(3)
    assert len(watched.runs) == 1 + MAX_RESTARTS
    assert caplog.text.count("given up after 4 tries") == 1
    assert f"{last.name} ({last.id}) came to no decision" in caplog.text


@pytest.mark.parametrize("was_restarted", [False, True])
def test_one_that_a_person_cancelled_after_it_began_does_not_go_on(watched, caplog, was_restarted):
    watched.looks()
    watched.begins()
    if was_restarted:
        watched.becomes(Crashed())
        watched.looks()
    run = watched.becomes(Cancelled())
    watched.looks(3)
    assert len(watched.runs) == 1 + was_restarted
    assert caplog.text.count(f"{run.name} ({run.id}) was cancelled") == 1
    for _ in range(ENOUGH):
        watched.people.judges("bob")
    watched.looks()
    assert len(watched.runs) == 2 + was_restarted
