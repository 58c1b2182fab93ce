"""MLflow for real: a server that is killed and comes back, a database that is locked, models in the registry."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from models.errors import TrackingError
from models.settings.pipeline import TrackingConfig
from tasks.running.storage import publish, scratch_folder
from tasks.tracking import outbox
from tasks.tracking import tracked_run as tracking
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun, send_what_was_kept
from tests.tasks.gate import Gate
from tests.tasks.hand_made import making
from tests.tasks.mlflow_server import MlflowServer
from tests.waiting import until

STEP_SECONDS = 0.02  # a call to a server that is away costs MLflow's own client minutes
AWAY_SECONDS = 4.0


@dataclass
class Outage:
    """What happened while the server was killed and started again."""

    num_steps: int
    num_beats: int
    over_it: str
    ended_in_it: str
    kept: dict
    refusal: str
    waited_for_it: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MlflowServer]:
    started = MlflowServer(folder)
    started.start()
    started.wait()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def client(server: MlflowServer) -> MlflowClient:
    """Reads what came to be, past the code under test."""
    return MlflowClient(tracking_uri=server.url)


@pytest.fixture(scope="module", autouse=True)
def hurry() -> Iterator[None]:
    """Sends ten times a second instead of every five seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "SEND_EVERY_SECONDS", 0.1)
        patch.setattr(outbox, "RETRY_SECONDS", 0.2)
        yield


def settings(server: MlflowServer, patience_seconds: float = 120) -> TrackingConfig:
    return TrackingConfig(uri=server.url, patience_seconds=patience_seconds)


def start(config: TrackingConfig, name: str, folder: Path) -> TrackedRun:
    return TrackedRun.start(config, name, {}, folder)


class Steps:
    """A training loop that logs its steps; beside it a thread beats as often, and is held up by the machine alone."""

    def __init__(self, run: TrackedRun) -> None:
        self.run, self.num_steps, self.num_beats = run, 0, 0

    def take_until(self, done) -> None:
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(over,))
        beating.start()
        while not done():
            self.run.log_metrics({"objective/kl": self.num_steps / 4, "loss": -self.num_steps}, self.num_steps)
            self.num_steps += 1
            threading.Event().wait(STEP_SECONDS)
        over.set()
        beating.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(STEP_SECONDS):
            self.num_beats += 1


def end_by_an_error(run: TrackedRun) -> None:
    with pytest.raises(ZeroDivisionError), run:
        run.log_metrics({"loss": 0.5}, step=7)
        run.set_tags({"rein.note": "ended while MLflow was away"})
        raise ZeroDivisionError


@pytest.fixture(scope="module")
def outage(server: MlflowServer, client: MlflowClient, folder: Path) -> Outage:
    """A training over the whole outage, and beside it runs that end or begin in it."""
    ended = start(settings(server, patience_seconds=0.5), "ended in it", folder)
    with ThreadPoolExecutor(2) as others, start(settings(server), "over it", folder) as run:
        steps = Steps(run)
        steps.take_until(lambda: client.get_metric_history(run.run_id, "loss"))
        server.kill()
        killed = time.monotonic()
        refused: Future = others.submit(start, settings(server, patience_seconds=0.5), "refused", folder)
        waiting: Future = others.submit(start, settings(server), "waited", folder)
        ending: Future = others.submit(end_by_an_error, ended)
        steps.take_until(lambda: time.monotonic() - killed > AWAY_SECONDS and refused.done() and ending.done())
        kept = json.loads((folder / "unsent" / f"{ended.run_id}.json").read_text(encoding="utf-8"))
        server.start()
        steps.take_until(lambda: waiting.done() and server.answers())
    with waiting.result():
        pass
    ending.result()
    refusal = str(refused.exception())
    assert isinstance(refused.exception(), TrackingError)
    waited = waiting.result().run_id
    return Outage(steps.num_steps, steps.num_beats, run.run_id, ended.run_id, kept, refusal, waited)


def test_every_step_is_there_once_although_the_server_was_killed_meanwhile(outage, client):
    assert outage.num_steps > 50
    for name, value in (("objective/kl", lambda step: step / 4), ("loss", lambda step: -step)):
        points = client.get_metric_history(outage.over_it, name)
        assert sorted(point.step for point in points) == list(range(outage.num_steps)), name
        assert all(point.value == value(point.step) for point in points)
    assert client.get_run(outage.over_it).info.status == "FINISHED"


def test_training_is_not_held_up_while_the_server_is_away(outage):
    assert outage.num_steps > 0.7 * outage.num_beats


def test_what_could_not_be_sent_is_kept_and_sent_by_a_later_run(outage, server, client, folder):
    ((name, value, _, step),) = outage.kept["metrics"]
    assert (name, value, step) == ("loss", 0.5, 7)
    assert (outage.kept["uri"], outage.kept["status"]) == (server.url, "FAILED")
    assert client.get_run(outage.ended_in_it).info.status == "RUNNING"
    elsewhere = folder / "unsent" / "elsewhere.json"
    elsewhere.write_text(json.dumps(outage.kept | {"uri": "http://127.0.0.1:9", "run_id": "0" * 32}))
    send_what_was_kept(settings(server), folder)
    run = client.get_run(outage.ended_in_it)
    assert run.info.status == "FAILED" and run.info.end_time == outage.kept["ended"]
    assert run.data.tags["rein.note"] == "ended while MLflow was away"
    assert [(point.step, point.value) for point in client.get_metric_history(outage.ended_in_it, "loss")] == [(7, 0.5)]
    assert [path.name for path in (folder / "unsent").iterdir()] == ["elsewhere.json"], "for another address"
    elsewhere.unlink()


def test_a_call_that_needs_an_answer_waits_for_the_server_and_else_says_what_to_do(outage, server, client):
    assert client.get_run(outage.waited_for_it).info.status == "FINISHED"
    assert outage.refusal.startswith(f"MLflow at {server.url} is away (Connection")
    assert outage.refusal.endswith("waited 0.5 s (tracking.patience_seconds). Start it, or set tracking.uri")


def test_what_mlflow_refuses_raises_at_once(server, folder):
    with start(settings(server), "refused", folder) as run:
        run.log_parameters({"seed": 0})
        began = time.monotonic()
        with pytest.raises(MlflowException, match="seed"):
            run.log_parameters({"seed": 1})
        assert time.monotonic() - began < 10


def test_a_locked_database_holds_nothing_up(server, client, folder):
    config = TrackingConfig(uri=server.database)
    with start(config, "locked", folder) as run, run.watch_machine():
        steps = Steps(run)
        lock = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        steps.take_until(lambda: time.monotonic() - began > 1.5)
        lock.execute("ROLLBACK")
        lock.close()
    assert steps.num_steps > 0.7 * steps.num_beats
    points = client.get_metric_history(run.run_id, "loss")
    assert sorted(point.step for point in points) == list(range(steps.num_steps))
    load = client.get_metric_history(run.run_id, "system/cpu_utilization_percentage")
    assert load and all(0 <= point.value <= 100 for point in load)
    memory = client.get_metric_history(run.run_id, "system/system_memory_usage_megabytes")
    assert [point.step for point in memory] == [point.step for point in load] and memory[0].value > 100


def test_one_number_that_mlflow_refuses_costs_nothing_else(server, client, folder, caplog):
    with start(settings(server), "one is refused", folder) as run:
        run.log_metrics({"loss": 0.5, "pass?": 0.75, "kl": 1.5}, step=1)
        run.set_tags({"rein.note": "kept", "rein." + "x" * 300: "a name too long"})
    told = client.get_run(run.run_id)
    assert told.info.status == "FINISHED" and told.data.tags["rein.note"] == "kept"
    assert told.data.metrics == {"loss": 0.5, "kl": 1.5}
    assert caplog.text.count("MLflow refuses the number pass? (0.75 at step 1)") == 1
    assert "Names may only contain alphanumerics" in caplog.text and "MLflow refuses the tag rein.xxx" in caplog.text


def test_a_sign_in_that_expires_loses_nothing_and_is_told_once(server, client, folder, caplog):
    gate = Gate(server.url)
    config = TrackingConfig(uri=gate.url, patience_seconds=1)
    with start(config, "signed out", folder) as run:
        run.log_metrics({"loss": 1}, step=1)
        until(lambda: client.get_metric_history(run.run_id, "loss"))
        gate.answer = (401, "text/html", "You are not authenticated.")
        asked = gate.num_asked
        run.log_metrics({"loss": 2}, step=2)
        until(lambda: gate.num_asked > asked + 3)
    assert caplog.text.count("does not let this run in") == 1 and "refuses" not in caplog.text
    assert client.get_run(run.run_id).info.status == "RUNNING"
    gate.answer = None
    send_what_was_kept(config, folder)
    gate.close()
    assert [point.step for point in client.get_metric_history(run.run_id, "loss")] == [1, 2]
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_a_run_that_somebody_deleted_ends_without_waiting(server, client, folder, caplog):
    with start(settings(server), "deleted", folder) as run:
        client.delete_run(run.run_id)
        run.log_metrics({"loss": 1}, step=1)
    assert caplog.text.count(f"run {run.run_id} is not in MLflow any more") == 1
    assert not (folder / "unsent" / f"{run.run_id}.json").exists()


def test_a_cancelled_run_is_killed_in_mlflow(server, client, folder):
    with pytest.raises(KeyboardInterrupt), start(settings(server), "cancelled", folder) as run:
        raise KeyboardInterrupt
    assert client.get_run(run.run_id).info.status == "KILLED"


def test_a_registered_version_says_what_it_is(server, client, folder):
    made = []
    with start(settings(server), "registers", folder) as run:
        for text in ("one", "other"):
            with scratch_folder(folder / "artifacts") as scratch:
                (scratch / "model").mkdir()
                (scratch / "model" / "weights.txt").write_text(text)
                made.append(
                    publish(scratch, folder / "artifacts" / text, "policy", 1, run.run_id, {}, making("tuning"), 1.0)
                )
        assert register_challenger(run, "policy", made[0], "**first**") == 1
        assert register_challenger(run, "policy", made[1], "second") == 2
        assert register_challenger(run, "policy", made[0], "again") == 1, "known by its content"
    assert [client.get_model_version("policy", number).description for number in ("1", "2")] == ["**first**", "second"]
    assert client.get_model_version_by_alias("policy", "challenger").version == "1"
    stored = client.get_model_version("policy", "1").source.removeprefix("models:/")
    assert client.get_logged_model(stored).status == "READY"


def test_the_newest_finished_run_of_a_flow_is_found_with_its_settings(server, folder):
    for number in (1, 2):
        with TrackedRun.start(settings(server), f"flow {number}", {"rein.flow": "learn"}, folder) as run:
            run.log_parameters({"tuning.clip": number})
    with TrackedRun.start(settings(server), "flow 3", {"rein.flow": "learn"}, folder) as run:
        assert run.newest_before("learn") == ("flow 2", {"tuning.clip": "2"})
        assert run.newest_before("collect") is None
    assert tracking.parameter_text("a" * 6001) == "a" * 5994 + " [cut]"
