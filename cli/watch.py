"""The watcher: counts new judgements in the feedback store, and starts the deployment `retrain` when there are enough.

It also tells MLflow of runs that were killed, which could not do so themselves.

It keeps nothing: who has learned from what stands in the feedback store, and what runs is asked of Prefect. So it can be killed and
started at any time, and two of them start no more than one does.
"""

import logging
import time
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from labeling.store.retrainings import News
from models.errors import ConfigError, PipelineError
from models.settings.labels import StoredFeedback
from models.settings.pipeline import PipelineConfig
from tasks.champion.retraining import count_news
from tasks.tracking.dead_runs import end_dead_runs

DEPLOYMENT = "retrain/retrain"
MAX_RESTARTS = 3
UNDER_WAY = FlowRunFilterState(
    type=FlowRunFilterStateType(
        any_=[StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    )
)
AWAY = (httpx.TransportError, PrefectHTTPStatusError, ObjectNotFound, DBAPIError)
_LOGGER = logging.getLogger("rein.watch")


def watch() -> None:
    """Looks every `retraining.check_seconds` of the deployment's own parameters, for ever.

    What is away for a while (Prefect, the database, the deployment), or cannot be read, is asked again the next time.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    pause = 1.0
    while True:
        try:
            with get_client(sync_client=True) as client:
                pause = look(client)
        except (*AWAY, ValidationError, PipelineError) as error:
            _LOGGER.warning("cannot look now, and will look again: %s: %s", type(error).__name__, error)
        time.sleep(pause)


def look(client: SyncPrefectClient) -> float:
    """Starts a retraining if one is due; gives back the seconds until the next look.

    One is due when `retraining.min_new_judgements` have come in since the last one was started, and when the last one was killed.
    None is started while one is under way. Prefect knows the same key only once.
    """
    deployment = client.read_deployment_by_name(DEPLOYMENT)
    config = PipelineConfig.model_validate(deployment.parameters["config"])
    if not isinstance(config.labels, StoredFeedback):
        raise ConfigError(f"deployment {DEPLOYMENT}: labels.kind must be store, where new judgements come from")
    news = count_news(config, config.labels)
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    if key := _due(client, of_deployment, news, config):
        run = run_deployment(DEPLOYMENT, timeout=0, as_subflow=False, idempotency_key=key, tags=[key])
        _LOGGER.info("started %s, %d new judgements: %s", run.name, news.since_started, run.id)
    tracking = config.tracking.model_copy(update={"patience_seconds": 1.0})  # it will be asked again
    if num_ended := end_dead_runs(tracking, lambda flow_run_id: _has_died(client, flow_run_id)):
        _LOGGER.info("%d runs in MLflow were killed and are ended", num_ended)
    return config.retraining.check_seconds


def _due(client: SyncPrefectClient, of_deployment: DeploymentFilter, news: News, config: PipelineConfig) -> str | None:
    """The key of the retraining that is to be started now, if one is."""
    name = config.tracking.policy_name
    if news.since_started >= max(1, config.retraining.min_new_judgements):
        key = f"{name}-up-to-judgement-{news.last_judgement}"
    elif news.unfinished is not None:
        begun = f"{name}-again-{news.unfinished.snapshot_sha256[:16]}"
        tries = _runs(
            client,
            of_deployment,
            FlowRunFilter(tags=FlowRunFilterTags(any_=[f"{begun}-{n}" for n in range(MAX_RESTARTS)])),
        )
        if len(tries) == MAX_RESTARTS:
            return None
        key = f"{begun}-{len(tries)}"
    else:
        return None
    busy = [
        run
        for run in _runs(client, of_deployment, FlowRunFilter(state=UNDER_WAY))
        if not (run.auto_scheduled and run.state.is_scheduled())  # those of a schedule wait for their hour
    ]
    if news.unfinished is not None:
        own = FlowRunFilterId(any_=[news.unfinished.flow_run_id])
        busy += client.read_flow_runs(flow_run_filter=FlowRunFilter(id=own, state=UNDER_WAY))
    return None if busy else key


def _has_died(client: SyncPrefectClient, flow_run_id: str) -> bool:
    try:
        state = client.read_flow_run(UUID(flow_run_id)).state
    except ObjectNotFound:  # another server's
        return False
    return state.is_crashed() or state.is_cancelled() or state.is_failed()


def _runs(client: SyncPrefectClient, of_deployment: DeploymentFilter, wanted: FlowRunFilter) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=wanted, deployment_filter=of_deployment)
