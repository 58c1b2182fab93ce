"""What people say on the labelling page starts a retraining by itself; a better policy is promoted, a sabotaged one refused.

Each night everything is as `make up` starts it: Prefect's server and worker, MLflow's server, the page and the watcher. In `make test`
the same is done in this process: the watcher looks when it is told to, and the runs that it starts are run here. The people are
stand-ins who send their rankings to the page: the shortest completion first or, to sabotage, the longest.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.watch import look
from flows.forms import collect, retrain
from flows.promote import promote
from labeling.store import accounts
from labeling.store.batches import mark_instructions_read
from labeling.store.database import FeedbackStore
from labeling.store.retrainings import read_promotions
from labeling.store.schema import Batch, Labeler, Retraining
from models.settings.pipeline import TrackingConfig
from tasks.tracking.registry import find_policy
from tests.flows.conftest import PROJECT, Workplace, clean_environment
from tests.free_port import free_port
from tests.labeling.page.site import STORE, Site
from tests.templates import empty_mlflow, empty_store
from tests.waiting import CEILING_SECONDS, until

PRESET = """
base: {kind: scratch, vocab_size: 512, hidden_size: 48, num_layers: 2, num_heads: 2, context_length: 96}
pretraining: {source: {kind: household, num_rows: 800}, batch_size: 16, learning_rate: 3.0e-3}
sft: {source: {kind: household, num_rows: 800}, batch_size: 16, learning_rate: 3.0e-3}
prompts: {source: {kind: household, num_rows: 300}, num_prompts: 96}
split: {validation: 0.05, test: 0.35}
sampling: {max_new_tokens: 24}
generation: {num_completions: 4, shard_size: 72}
batch: {labelers_per_prompt: 8}
labels: {kind: store}
consensus: {held_out_labelers: [olga]}
reward: {num_epochs: 4, batch_size: 8, learning_rate: 1.0e-3}
tuning:
  num_updates: 12
  batch_size: 32
  num_epochs: 2
  num_minibatches: 2
  learning_rate: 1.0e-3
  value_learning_rate: 1.0e-3
  min_reward_accuracy: 0
  kl: {kind: fixed, coef: 0.02}
evaluation: {judges: [{kind: own_reward}], num_prompts: 60, num_samples: 4}
retraining: {min_new_judgements: 100, check_seconds: 1}
promotion: {own_reward_suffices: true}
"""


@dataclass
class House:
    """Where people label and models are retrained. `go_on` lets the watcher look and what it starts run, where nobody else does."""

    page: str
    tracking: TrackingConfig
    store_url: str
    go_on: Callable[[], None]
    clients: list[httpx.Client] = field(default_factory=list)

    def run(self, deployment: str, **parameters: Any) -> FlowRun:
        """Runs a deployment to its end, as the Run button does."""
        run = run_deployment(deployment, parameters=parameters, timeout=0, as_subflow=False)
        with get_client(sync_client=True) as client:
            return until(lambda: self.go_on() or final(client.read_flow_run(run.id)))

    def parameters(self, deployment: str) -> dict[str, Any]:
        with get_client(sync_client=True) as client:
            return client.read_deployment_by_name(deployment).parameters

    def retrainings(self) -> list[tuple[str | None, str]]:
        with FeedbackStore(self.store_url) as store, store.read() as session:
            return [(one.outcome, one.reason) for one in session.query(Retraining).order_by(Retraining.id)]

    def last_of(self, number: int) -> tuple[str, str]:
        """Outcome and reason of the retraining of this number, which is the last, once it has come to an end by itself."""
        until(lambda: self.go_on() or (len(self.retrainings()) == number and self.retrainings()[-1][0]))
        with get_client(sync_client=True) as client:
            until(lambda: all(final(run) for run in client.read_flow_runs() if run.deployment_id))
        self.go_on()
        assert len(self.retrainings()) == number
        return self.retrainings()[-1]

    def champion(self) -> int:
        return find_policy(self.tracking, "champion").version


def final(run: FlowRun) -> FlowRun | None:
    return run if run.state.is_final() else None


@pytest.fixture
def house_here(
    workplace: Workplace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """A house in this process; Prefect's server is the one that all tests share."""
    shutil.copy(empty_store(tmp_path_factory), tmp_path / STORE)
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
    site = Site(tmp_path)
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "preset.yaml").write_text(PRESET)
    places = (f"storage.root={tmp_path}", f"tracking.uri={tracking.uri}", f"feedback.url={site.store.url}")
    monkeypatch.setenv("REIN_PRESETS", str(tmp_path))
    form = {"preset": "preset", "places": shlex.join(places)}
    flows = {one.name: one for one in (collect, retrain, promote)}

    told: set[str] = set()

    def go_on() -> None:
        with get_client(sync_client=True) as client:
            look(client, told)
            for run in client.read_flow_runs():
                if run.state.is_scheduled():
                    flow = flows[client.read_flow(run.flow_id).name]
                    run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state")

    with workplace.prefect(), get_client(sync_client=True) as client:
        for flow in flows.values():
            parameters = {} if flow is promote else {"form": form}
            client.create_deployment(client.create_flow(flow), flow.name, parameters=parameters)
        house = House(site.url, tracking, site.store.url, go_on)
        yield house
        for opened in house.clients:
            opened.close()
    site.close()


@pytest.fixture
def house_of_make_up(tmp_path: Path) -> Iterator[House]:
    """A house in which everything is a process, in an empty folder."""
    (tmp_path / "preset.yaml").write_text(PRESET)
    step = {"deployments.presets.load": {"id": "preset", "path": str(tmp_path / "preset.yaml")}}
    common = {"work_pool": {"name": "rein"}}
    learning = common | {"build": [step], "parameters": {"form": "{{ preset.form }}"}}
    places = {"tracking": {"uri": "{{ $REIN_TRACKING_URI }}"}, "feedback": {"url": "{{ $REIN_STORE }}"}}
    deployments = [
        *({"name": name, "entrypoint": f"flows/forms.py:{name}", **learning} for name in ("collect", "retrain")),
        {"name": "promote", "entrypoint": "flows/promote.py:promote", "parameters": {"request": places}, **common},
    ]
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"name": "rein", "deployments": deployments}))
    port = {name: free_port() for name in ("prefect", "mlflow", "label")}
    ports = [word for name, number in port.items() for word in (f"--{name}-port", str(number))]
    command = [sys.executable, "-m", "deployments.local.up", *ports, "--root", str(tmp_path / "rein")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--prefect-file", str(tmp_path / "prefect.yaml")],
            cwd=PROJECT,
            env=clean_environment() | {"PYTHONPATH": str(PROJECT), "REIN_PRESETS": str(tmp_path)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: "ready after" in (tmp_path / "log").read_text() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        page, mlflow, api = (f"http://127.0.0.1:{port[name]}" for name in ("label", "mlflow", "prefect"))
        with temporary_settings({PREFECT_API_URL: f"{api}/api"}):
            house = House(page, TrackingConfig(uri=mlflow), f"sqlite:///{tmp_path}/rein/feedback.db", lambda: None)
            yield house
            for opened in house.clients:
                opened.close()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=CEILING_SECONDS)


@pytest.fixture(params=["house_here", pytest.param("house_of_make_up", marks=pytest.mark.nightly)])
def house(request: pytest.FixtureRequest) -> House:
    return request.getfixturevalue(request.param)


class Person:
    """Someone signed in to the page, who ranks by the length of completions."""

    def __init__(self, house: House, name: str, longest_first: bool = False):
        self.sign, self.name = -1 if longest_first else 1, name
        now = datetime.now(UTC)
        with FeedbackStore(house.store_url) as store, store.write() as session:
            token = accounts.add_labeler(session, name, False, now)
            session.flush()
            cookie = accounts.sign_in(session, token, now)
            session.flush()
            form_token = accounts.visitor_of(session, cookie, now).form_token
            self.batch = session.query(Batch).one().id
            labeler = session.query(Labeler).filter_by(name=name).one()
            mark_instructions_read(session, labeler.id, self.batch, 1, now)
        headers = {"X-Form-Token": form_token, "Origin": house.page}
        self.client = httpx.Client(
            base_url=house.page, cookies={"rein_sign_in": cookie}, headers=headers, timeout=CEILING_SECONDS
        )
        house.clients.append(self.client)

    def ranks(self, most: int = 1000) -> int:
        """Ranks so many prompts, or all there are; gives back how many."""
        shown = self.post(f"/api/batches/{self.batch}/next", None)
        for number in range(most):
            if shown["task"] is None:
                return number
            task = shown["task"]
            ordered = sorted(task["completions"], key=lambda one: (self.sign * len(one["text"]), one["id"]))
            answer = {"submission": f"{self.name}{task['assignment']}", "levels": [[one["id"]] for one in ordered]}
            shown = self.post(f"/api/assignments/{task['assignment']}/judgement", answer)["next"]
        return most

    def post(self, path: str, json: dict | None) -> dict:
        answer = self.client.post(path, json=json)
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_labels_retrain_and_only_what_is_better_is_promoted(house):
    assert house.run("collect/collect").state.is_completed()
    olga, ann = Person(house, "olga"), Person(house, "ann")
    assert olga.ranks(20) == ann.ranks(20) == 20
    assert house.run("retrain/retrain").state_name == "Skipped", "40 of the 100 judgements that are wanted"
    cautious = {"retraining.min_new_judgements": 1, "tuning.num_updates": 1}
    run = house.run("retrain/retrain", form=house.parameters("retrain/retrain")["form"] | cautious)
    assert run.state.is_completed()
    assert run.name.startswith("preset: tuning.num_updates 1, retraining.min_new_judgements 1 (")
    assert house.retrainings()[0][0] in ("kept", "promoted")
    request = {"tracking": {"uri": house.tracking.uri}, "feedback": {"url": house.store_url}, "made_by": "ann"}
    if house.retrainings()[0][0] == "kept":  # one step is hardly ever surely better than none
        promoted = house.run("promote/promote", request=request | {"reason": "something to begin with"})
        assert promoted.state.is_completed()
    assert house.champion() == 1

    assert olga.ranks() == ann.ranks() == 76
    outcome, reason = house.last_of(2)
    assert outcome == "promoted", reason
    assert house.champion() == 2

    for name in ("sam", "sue"):
        Person(house, name, longest_first=True).ranks(80)
    outcome, reason = house.last_of(3)
    assert outcome == "kept" and "the reward model's accuracy on held-out prompts is" in reason, reason
    assert house.champion() == 2

    back = request | {"action": "roll_back", "reason": "too terse"}
    assert house.run("promote/promote", request=back).state.is_completed()
    assert house.champion() == 1
    with FeedbackStore(house.store_url) as store, store.read() as session:
        moves = [(one.version, one.made_by, one.is_rollback) for one in read_promotions(session, "rein-policy")]
    assert moves[1:] == [(2, "retrain", False), (1, "ann", True)]
