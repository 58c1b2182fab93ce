"""Registers with a Prefect server what Rein needs there: the work pool, the rule that finds dead runs, the deployments.

    python -m deployments.register [--prefect-file prefect.yaml] [--crashed-after 90]

The server is that of PREFECT_API_URL. Doing it again changes nothing twice.
"""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import App, Parameter, validators
from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from deployments.presets import load
from deployments.run_command import run_command
from models.errors import ConfigError

WORK_POOL = "rein"
QUEUE = "training"
DEAD_RUNS = "rein: runs without a heartbeat have crashed"

CrashedAfter = Annotated[int, Parameter(validator=validators.Number(gt=30))]

app = App(name="register", help="Registers Rein's work pool, automation and deployments.", version_flags=[])


@app.default
def register(*, prefect_file: Path = Path("prefect.yaml"), crashed_after: CrashedAfter = 90) -> None:
    """Registers the work pool, the automation and the deployments of a file. Raises ConfigError when a preset is wrong.

    Parameters
    ----------
    prefect_file
        The file of the deployments.
    crashed_after
        Seconds without a heartbeat after which a run counts as crashed. Runs send one every 30 seconds.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError("PREFECT_API_URL is not set; name the Prefect server, such as http://127.0.0.1:4200/api")
    chosen = deployments_that_fit(prefect_file)
    asyncio.run(_prepare(crashed_after))
    if chosen:
        _deploy(prefect_file, chosen)


def deployments_that_fit(prefect_file: Path) -> list[str]:
    """The names of the deployments whose presets can be read here; of each other one a line is printed that says why not."""
    if not prefect_file.is_file():
        raise ConfigError(f"{prefect_file}: no such file")
    names = []
    for deployment in yaml.safe_load(prefect_file.read_text(encoding="utf-8"))["deployments"]:
        try:
            for preset in _presets_of(deployment):
                load(**preset)
        except ConfigError as error:
            print(f"deployment {deployment['name']} is left out: {error}")
        else:
            names.append(deployment["name"])
    return names


def _presets_of(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [
        step["deployments.presets.load"] for step in deployment.get("build") or [] if "deployments.presets.load" in step
    ]
    return [{name: value for name, value in step.items() if name != "id"} for step in steps]


async def _prepare(crashed_after: int) -> None:
    async with get_client() as client:
        await _make_work_pool(client)
        await _find_dead_runs(client, crashed_after)


async def _make_work_pool(client: PrefectClient) -> None:
    """With a queue for what trains, one run at a time, for there is one GPU. What is there already stays as it is."""
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
    try:
        await client.read_work_queue_by_name(QUEUE, work_pool_name=WORK_POOL)
    except ObjectNotFound:
        await client.create_work_queue(QUEUE, concurrency_limit=1, work_pool_name=WORK_POOL)


async def _find_dead_runs(client: PrefectClient, crashed_after: int) -> None:
    """Without this, a run whose worker was killed with it stays Running for ever and holds its place in the queue."""
    automation = AutomationCore(
        name=DEAD_RUNS,
        description="A run whose process and worker were killed together cannot say so itself.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=crashed_after),
        ),
        actions=[
            ChangeFlowRunState(
                name=None, state=StateType.CRASHED, message=f"No heartbeat for {crashed_after} s: killed, by all signs."
            )
        ],
    )
    known = await client.read_automations_by_name(DEAD_RUNS)
    if not known:
        await client.create_automation(automation)
    elif known[0].trigger.within != automation.trigger.within:
        await client.update_automation(known[0].id, automation)


def _deploy(prefect_file: Path, names: list[str]) -> None:
    chosen = [word for name in names for word in ("--name", name)]
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(prefect_file), *chosen]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{prefect_file}: Prefect did not take these deployments:\n{done.stdout}{done.stderr}")
    print(f"deployments: {', '.join(names)}")


if __name__ == "__main__":
    run_command(app)
