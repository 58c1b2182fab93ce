"""PPO in two processes through Prefect: a cancel ends them all, the same command goes on, and every update reaches MLflow."""

import signal
import sys
import time

import pytest
from mlflow.tracking import MlflowClient

from tests.flows.conftest import SMOKE, Workplace
from tests.processes import processes_that_name
from tests.waiting import CEILING_SECONDS

COMMAND = ("rlhf", SMOKE, "tuning.num_updates=8", "tuning.checkpoint_every=1", "compute.num_processes=2")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_cancel_ends_the_ranks_and_the_same_command_goes_on(workplace: Workplace, first_report: dict):
    checkpoints = workplace.root / "checkpoints"
    process = workplace.start(*COMMAND)
    while not list(checkpoints.glob("tuning-*/step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    ranks = set(processes_that_name(workplace.root)) - {process.pid}
    assert len(ranks) == 3, "torchrun's agent and two ranks"
    process.send_signal(signal.SIGTERM)  # what Prefect's runner sends to a flow run that is cancelled
    process.communicate(timeout=CEILING_SECONDS)
    assert process.returncode != 0 and not processes_that_name(workplace.root)

    report = workplace.report(*COMMAND)
    assert report["stages_run"] == ["tuning", "matches", "evaluation"], "the number of processes re-runs no stage"
    assert report["tuning_updates"] == 8 and not list(checkpoints.iterdir())
    client = MlflowClient(tracking_uri=workplace.tracking_uri)
    parent = client.get_run(report["mlflow_run_id"])
    (run,) = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`rein.stage` = 'tuning'",
    )
    for metric in ("objective/kl", "loss/policy_avg", "tokens_per_second"):
        assert [point.step for point in client.get_metric_history(run.info.run_id, metric)] == list(range(8)), metric
    assert run.info.status == "FINISHED"
