"""`make up` as people meet it: real servers, a run started from Prefect's own pages in Chromium, kills, and the end."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from tasks.running.run_name import own_name
from tests.flows.conftest import PROJECT, clean_environment
from tests.free_port import free_port
from tests.processes import processes_that_name
from tests.templates import empty_mlflow, empty_prefect
from tests.waiting import CEILING_SECONDS, answers, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CRASHED_AFTER = 40
MORE = 30
"""Updates of PPO, in place of two."""


@dataclass(frozen=True)
class Up:
    """Everything that one `make up` has started, below one folder."""

    folder: Path
    process: subprocess.Popen
    prefect: str
    mlflow: str
    label: str

    @property
    def root(self) -> Path:
        return self.folder / ".rein"

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def api(self) -> SyncPrefectClient:
        return SyncPrefectClient(f"{self.prefect}/api")

    def flow_run(self, name: str) -> FlowRun:
        """The one that was given this name, which stands in parentheses once it has begun."""
        with self.api() as client:
            (found,) = [run for run in client.read_flow_runs() if own_name(run.name) == name]
        return found

    def names(self) -> set[str]:
        """Those of all flow runs."""
        with self.api() as client:
            return {own_name(run.name) for run in client.read_flow_runs()}

    def submit(self, name: str, num_updates: int) -> None:
        """What Submit does in Prefect's form, which `press_run` fills in."""
        with self.api() as client:
            deployment = client.read_deployment_by_name("rlhf/rlhf")
            form = deployment.parameters["form"] | {"tuning.num_updates": num_updates}
            client.create_flow_run_from_deployment(deployment.id, name=name, parameters={"form": form})

    def wait_for(self, name: str, state: str) -> None:
        """Until a flow run is in the state."""
        until(lambda: self.flow_run(name).state_name == state)

    def worker(self) -> psutil.Process:
        (found,) = [one for one in psutil.Process(self.process.pid).children() if "worker" in one.cmdline()]
        return found


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Without REIN_DATA, so that one deployment cannot be registered."""
    kept = {name: value for name, value in clean_environment().items() if name != "REIN_DATA"}
    return kept | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def prefect_file(tmp_path_factory) -> Path:
    """The deployments that are shipped, with the smallest preset."""
    file = tmp_path_factory.mktemp("deployments") / "prefect.yaml"
    file.write_text((PROJECT / "prefect.yaml").read_text().replace("tiny.yaml", "smoke.yaml"))
    return file


@pytest.fixture(scope="module")
def up(tmp_path_factory, environment, prefect_file) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    (folder / ".rein" / "prefect").mkdir(parents=True)
    shutil.copy(empty_prefect(tmp_path_factory), folder / ".rein" / "prefect" / "prefect.db")
    shutil.copy(empty_mlflow(tmp_path_factory), folder / ".rein" / "mlflow.db")
    ports = [free_port() for _ in range(3)]
    options = [f"--{name}-port={port}" for name, port in zip(("prefect", "mlflow", "label"), ports, strict=True)]
    options += [f"--root={folder}/.rein", f"--prefect-file={prefect_file}", f"--crashed-after={CRASHED_AFTER}"]
    command = [sys.executable, "-m", "deployments.local.up", *options]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=said, stderr=said)
    started = Up(folder, process, *(f"http://127.0.0.1:{port}" for port in ports))
    try:
        until(lambda: "ready after" in started.said or process.poll() is not None)
        assert process.poll() is None, started.said
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=CEILING_SECONDS)
        for left in processes_that_name(folder):
            os.kill(left, signal.SIGKILL)


def press_run(browser: "Browser", up: Up, name: str, num_updates: int) -> None:
    """Deployments -> rlhf -> Run -> Custom run, one number changed, Submit."""
    page = browser.new_page()
    page.set_default_timeout(1000 * CEILING_SECONDS)
    page.goto(f"{up.prefect}/deployments")
    page.get_by_role("link", name="rlhf").first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    field(page, "Run Name").fill(name)
    field(page, "tuning.num_updates (Optional)").fill(str(num_updates))
    page.get_by_role("button", name="Submit").click()
    until(lambda: name in up.names())  # what the page says about it is gone after five seconds
    page.close()


def field(page: "Page", label: str):
    """The input below a label of Prefect's form."""
    return page.locator(".p-label").filter(has=page.get_by_text(label, exact=True)).last.locator("input")


def see(browser: "Browser", up: Up, name: str, state: str) -> None:
    """Waits until a flow run is in the state, which its page then shows. An open page asks all the time."""
    up.wait_for(name, state)
    page = browser.new_page()
    page.goto(f"{up.prefect}/runs/flow-run/{up.flow_run(name).id}")
    page.locator(".state-badge").get_by_text(state, exact=True).wait_for(timeout=1000 * CEILING_SECONDS)
    page.close()


@pytest.fixture(scope="module")
def first(up, browser) -> str:
    """A run with two updates of PPO, started in the browser and seen to complete."""
    press_run(browser, up, "first", 2)
    see(browser, up, "first", "Completed")
    return "first"


@pytest.fixture(scope="module")
def killed(up, first) -> str:
    """A run with more updates whose process and worker were killed at once, and MLflow's server with them."""
    up.submit("killed", MORE)
    until(lambda: bool(list((up.root / "checkpoints").glob("tuning-*/step-*"))))
    worker = up.worker()
    (mlflow,) = [one for one in psutil.Process(up.process.pid).children() if "mlflow" in one.cmdline()]
    for process in (worker, *worker.children(recursive=True), mlflow):
        process.kill()
    return "killed"


@pytest.fixture(scope="module")
def again(up, killed) -> str:
    """The same once more, submitted while the dead run still stands in its way."""
    up.submit("again", MORE)
    return "again"


def test_everything_that_is_printed_answers(up):
    for url in (up.prefect, up.mlflow, up.label):
        assert url in up.said
        assert httpx.get(url, follow_redirects=True, timeout=CEILING_SECONDS).status_code == 200
    assert f"{up.mlflow}/#/experiments/1?workflowType=machine_learning\n" in up.said, "by itself the page shows no run"
    assert "deployment learn is left out: environment variable REIN_DATA is not set" in up.said
    assert "deployments: rlhf, collect" in up.said


def test_a_page_of_another_site_can_start_nothing(up):
    with up.api() as client:
        deployment = client.read_deployment_by_name("rlhf/rlhf")
    url = f"{up.prefect}/api/deployments/{deployment.id}/create_flow_run"
    assert httpx.post(url, json={}, timeout=CEILING_SECONDS).status_code == 403
    elsewhere = {"Origin": "http://elsewhere.example"}
    headers = httpx.get(f"{up.prefect}/api/health", headers=elsewhere, timeout=CEILING_SECONDS).headers
    assert "access-control-allow-origin" not in headers


def test_a_port_that_is_taken_is_named(up, environment):
    port = up.prefect.rpartition(":")[2]
    command = [sys.executable, "-m", "deployments.local.up", "--prefect-port", port]
    done = subprocess.run(command, cwd=up.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"port {port}: Address already in use; choose another with --prefect-port" in done.stderr


def test_what_dies_is_started_again(up, again):
    until(lambda: up.said.count("has been started again") == 2)
    assert "mlflow has ended (killed by SIGKILL)" in up.said and "worker has ended (killed by SIGKILL)" in up.said
    until(lambda: answers(f"{up.mlflow}/health"))


def test_registering_again_changes_nothing_twice(up, again, environment, prefect_file):
    before = registered(up)
    places = {"PREFECT_API_URL": f"{up.prefect}/api", "REIN_ROOT": str(up.root), "REIN_TRACKING_URI": up.mlflow}
    command = [sys.executable, "-m", "deployments.register", "--prefect-file", prefect_file]
    command += ["--crashed-after", str(CRASHED_AFTER)]
    done = subprocess.run(command, cwd=PROJECT, env=environment | places, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert registered(up) == before
    deployments = [("collect",), ("evaluate",), ("iterate",), ("promote",), ("retrain",), ("reward",), ("rlhf",)]
    assert before == {"work_queue": [("default", None), ("training", 1)], "deployment": deployments, "automation": 1}


def registered(up: Up) -> dict:
    with sqlite3.connect(f"file:{up.root}/prefect/prefect.db?mode=ro", uri=True) as database:
        return {
            "work_queue": database.execute("select name, concurrency_limit from work_queue order by name").fetchall(),
            "deployment": database.execute("select name from deployment order by name").fetchall(),
            "automation": database.execute("select count(*) from automation").fetchone()[0],
        }


def test_a_killed_run_is_seen_to_have_crashed_and_the_next_goes_on(up, browser, killed, again):
    see(browser, up, killed, "Crashed")
    assert up.flow_run(killed).state.message == f"No heartbeat for {CRASHED_AFTER} s: killed, by all signs."
    until(lambda: tracked(up, killed).info.status == "KILLED")
    up.wait_for(again, "Completed")
    resumed = [line for line in logs(up, again) if "resumed at step" in line]
    assert len(resumed) == 1 and f"of {MORE}" in resumed[0]
    assert sum("Cached(type=COMPLETED)" in line for line in logs(up, again)) == 12, "all stages before tuning"


def logs(up: Up, name: str) -> list[str]:
    with up.api() as client:
        chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[up.flow_run(name).id]))
        return [entry.message for entry in client.read_logs(chosen)]


def test_prefect_leads_to_the_run_in_mlflow_and_its_kl(up, browser, first):
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{up.prefect}/runs/flow-run/{up.flow_run(first).id}")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.locator(".p-card").filter(has_text="mlflow-run").last.click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="MLflow run").click()
    opened.value.get_by_placeholder("Search metrics").fill("kl_nats")
    name, shown = opened.value.get_by_role("row", name=re.compile(r"^kl_nats -?\d")).last.inner_text().split()
    assert (name, float(shown)) == ("kl_nats", tracked(up, first).data.metrics["kl_nats"])
    page.context.close()


def test_mlflow_compares_the_two_runs(up, browser, first, again):
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{up.mlflow}/#/experiments/{tracked(up, first).info.experiment_id}/runs")
    for name in (first, again):
        page.get_by_role("row").filter(has_text=f"({name})").get_by_role("checkbox").first.click()
    page.get_by_role("button", name="Compare").click()
    row = page.get_by_role("row").filter(has_text=re.compile(r"^\s*tuning\.num_updates")).first  # not that of the names
    assert sorted(row.inner_text().split()) == sorted(["tuning.num_updates", "2", str(MORE)])
    page.get_by_role(
        "link", name="completions_end_rate", exact=True
    ).wait_for()  # the table draws the metrics that are in sight
    page.context.close()


def tracked(up: Up, name: str) -> Run:
    """A run in MLflow by the name that it was given."""
    client = MlflowClient(up.mlflow)
    (found,) = client.search_runs(
        [client.get_experiment_by_name("rein").experiment_id], f"run_name LIKE 'rlhf %({name})'"
    )
    return found


def test_the_end_ends_everything_and_runs_say_so(up, again):
    """Comes last: nothing is up after it."""
    up.wait_for(again, "Completed")
    up.submit("ended", 1000)
    until(lambda: bool(list((up.root / "checkpoints").glob("tuning-*/step-*"))))
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=CEILING_SECONDS) == 0
    assert processes_that_name(up.folder) == []
    with sqlite3.connect(f"file:{up.root}/prefect/prefect.db?mode=ro", uri=True) as database:
        runs = database.execute("select name, state_name from flow_run").fetchall()
    states = {own_name(name): state for name, state in runs}
    assert states == {"first": "Completed", "killed": "Crashed", "again": "Completed", "ended": "Crashed"}
