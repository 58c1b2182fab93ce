"""What people say on the labelling page starts a retraining by itself; a better policy is promoted, a sabotaged one refused.

Everything is real: Prefect's server and worker, MLflow's server, the page and the watcher, as `make up` starts them. The people are
stand-ins who send their rankings to the page: the shortest completion first or, to sabotage, the longest.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
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
from prefect.settings import PREFECT_API_URL, temporary_settings

from labeling.store import accounts
from labeling.store.batches import mark_instructions_read
from labeling.store.database import FeedbackStore
from labeling.store.retrainings import read_promotions
from labeling.store.schema import Batch, Labeler, Retraining
from models.settings.pipeline import TrackingConfig
from tasks.tracking.registry import find_policy
from tests.flows.conftest import PROJECT, clean_environment
from tests.free_port import free_port
from tests.waiting import CEILING_SECONDS, until

PRESET = """
base: {kind: scratch, vocab_size: 512, hidden_size: 48, num_layers: 2, num_heads: 2, context_length: 96}
pretraining: {source: {kind: household, num_rows: 800}, batch_size: 16, learning_rate: 3.0e-3}
sft: {source: {kind: household, num_rows: 800}, batch_size: 16, learning_rate: 3.0e-3}
prompts: {source: {kind: household, num_rows: 300}, num_prompts: 120}
generation: {num_completions: 4, shard_size: 120}
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
  max_new_tokens: 24
  min_reward_accuracy: 0
  kl: {kind: fixed, coef: 0.02}
evaluation: {judge: reward_model, num_prompts: 60, num_samples: 2}
retraining: {min_new_judgements: 200, check_seconds: 1}
"""


@dataclass
class House:
    """Everything that `make up` starts, in an empty folder."""

    folder: Path
    ports: dict[str, int]
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['prefect']}/api"

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.ports['label']}"

    @property
    def tracking(self) -> TrackingConfig:
        return TrackingConfig(uri=f"http://127.0.0.1:{self.ports['mlflow']}")

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.folder}/rein/feedback.db"

    def run(self, deployment: str, **parameters: Any) -> FlowRun:
        """Runs a deployment to its end, as the Run button does."""
        return run_deployment(
            deployment, parameters=parameters, timeout=CEILING_SECONDS, poll_interval=0.5, as_subflow=False
        )

    def parameters(self, deployment: str) -> dict[str, Any]:
        with get_client(sync_client=True) as client:
            return client.read_deployment_by_name(deployment).parameters

    def retrainings(self) -> list[tuple[str | None, str]]:
        with FeedbackStore(self.store_url) as store, store.read() as session:
            return [(one.outcome, one.reason) for one in session.query(Retraining).order_by(Retraining.id)]

    def all_runs_have_ended(self) -> bool:
        with get_client(sync_client=True) as client:
            return all(run.state.is_final() for run in client.read_flow_runs())

    def champion(self) -> int:
        return find_policy(self.tracking, "champion").version


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    (folder / "preset.yaml").write_text(PRESET)
    step = {"deployments.presets.load": {"id": "preset", "path": str(folder / "preset.yaml")}}
    common = {"work_pool": {"name": "rein"}}
    learning = common | {"build": [step], "parameters": {"config": "{{ preset.config }}"}}
    places = {"tracking": {"uri": "{{ $REIN_TRACKING_URI }}"}, "feedback": {"url": "{{ $REIN_STORE }}"}}
    deployments = [
        *({"name": name, "entrypoint": f"flows/{name}.py:{name}", **learning} for name in ("collect", "retrain")),
        {
            "name": "promote",
            "entrypoint": "flows/promote.py:promote",
            "parameters": {"request": places},
            **common,
        },
    ]
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"name": "rein", "deployments": deployments}))
    house = House(folder, {name: free_port() for name in ("prefect", "mlflow", "label")})
    ports = [word for name, port in house.ports.items() for word in (f"--{name}-port", str(port))]
    command = [sys.executable, "-m", "deployments.local.up", *ports, "--root", str(folder / "rein")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--prefect-file", str(folder / "prefect.yaml")],
            cwd=PROJECT,
            env=clean_environment() | {"PYTHONPATH": str(PROJECT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: "ready after" in (folder / "log").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        with temporary_settings({PREFECT_API_URL: house.api}):
            yield house
    finally:
        for client in house.clients:
            client.close()
        os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=CEILING_SECONDS)


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
    assert house.run("retrain/retrain").state_name == "Skipped", "40 of the 200 judgements that are wanted"
    config = house.parameters("retrain/retrain")["config"]
    cautious = config | {"retraining": {"min_new_judgements": 1}, "tuning": config["tuning"] | {"num_updates": 1}}
    assert house.run("retrain/retrain", config=cautious).state.is_completed()
    assert house.retrainings()[0][0] in ("kept", "promoted")
    request = {"tracking": {"uri": house.tracking.uri}, "feedback": {"url": house.store_url}, "made_by": "ann"}
    if house.retrainings()[0][0] == "kept":  # one step is hardly ever surely better than none
        promoted = house.run("promote/promote", request=request | {"reason": "something to begin with"})
        assert promoted.state.is_completed()
    assert house.champion() == 1

    assert olga.ranks() == ann.ranks() == 100
    until(lambda: len(house.retrainings()) == 2 and house.retrainings()[1][0])
    outcome, reason = house.retrainings()[1]
    assert outcome == "promoted", reason
    assert house.champion() == 2

    for name in ("sam", "sue"):
        Person(house, name, longest_first=True).ranks(100)
    until(lambda: len(house.retrainings()) == 3 and house.retrainings()[2][0])
    until(house.all_runs_have_ended)
    assert len(house.retrainings()) == 3
    outcome, reason = house.retrainings()[2]
    assert outcome == "kept" and "the reward model's accuracy on held-out prompts is" in reason, reason
    assert house.champion() == 2

    back = request | {"action": "roll_back", "reason": "too terse"}
    assert house.run("promote/promote", request=back).state.is_completed()
    assert house.champion() == 1
    with FeedbackStore(house.store_url) as store, store.read() as session:
        moves = [(one.version, one.made_by, one.is_rollback) for one in read_promotions(session, "rein-policy")]
    assert moves[1:] == [(2, "retrain", False), (1, "ann", True)]
