"""Runs in MLflow whose process was killed: nobody was left to say so there."""

from collections.abc import Callable

from models.settings.pipeline import TrackingConfig
from tasks.tracking.tracked_run import connect


def end_dead_runs(config: TrackingConfig, has_died: Callable[[str], bool]) -> int:
    """Ends, as KILLED, every run that MLflow calls running and whose flow run (by its id in Prefect) has died; gives back how many."""
    client = connect(config)
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment is None:
        return 0
    ended = 0
    for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
        flow_run_id = run.data.tags.get("prefect.flow_run_id")
        if flow_run_id and has_died(flow_run_id):
            client.set_terminated(run.info.run_id, "KILLED")
            ended += 1
    return ended
