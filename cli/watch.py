"""The watcher: counts new judgements in the feedback store, and starts the deployment `retrain` when there are enough.

It also tells MLflow of runs that were killed, which could not do so themselves.

It keeps nothing: who has learned from what stands in the feedback store, and what was started, what runs and how it ended is asked of
Prefect. So it can be killed and started at any time, and two of them start no more than one does.
"""

import logging
import re
import time
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from labeling.store.retrainings import News
from models.errors import ConfigError, PipelineError
from models.settings.forms.by_flow import RetrainForm
from models.settings.labels import StoredFeedback
from models.settings.pipeline import PipelineConfig
from tasks.champion.retraining import count_news
from tasks.running.run_name import own_name
from tasks.tracking.dead_runs import end_dead_runs

DEPLOYMENT = "retrain/retrain"
MAX_RESTARTS = 3
UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
AWAY = (httpx.TransportError, PrefectHTTPStatusError, ObjectNotFound, DBAPIError)
_LOGGER = logging.getLogger("rein.watch")


@dataclass(frozen=True)
class Cause:
    """What a retraining is due for: the beginning of its runs' keys, the number of its first run, and in words."""

    key: str
    first: int
    words: str

    @property
    def keys(self) -> list[str]:
        """Those of all runs that it may have. Prefect knows the same key only once."""
        return [f"{self.key}-{number}" for number in range(self.first, 1 + MAX_RESTARTS)]


def watch() -> None:
    """Looks every `retraining.check_seconds` of the deployment's own parameters, for ever.

    What is away for a while (Prefect, the database, the deployment), or cannot be read, is asked again the next time.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    pause, told = 1.0, set[str]()
    while True:
        try:
            with get_client(sync_client=True) as client:
                pause = look(client, told)
        except (*AWAY, ValidationError, PipelineError) as error:
            _LOGGER.warning("cannot look now, and will look again: %s: %s", type(error).__name__, error)
        time.sleep(pause)


def look(client: SyncPrefectClient, told: set[str]) -> float:
    """Starts a retraining if one is due; gives back the seconds until the next look. What is `told` already is not logged again.

    One is due when `retraining.min_new_judgements` have come in since the last one was started, or cancelled, and when the last one
    was killed. None is started while one is under way. One that ends without a decision is started again, at most `MAX_RESTARTS`
    times for the same judgements; one that a person cancelled is not.
    """
    deployment = client.read_deployment_by_name(DEPLOYMENT)
    config = RetrainForm.model_validate(deployment.parameters["form"]).config()
    if not isinstance(config.labels, StoredFeedback):
        raise ConfigError(f"deployment {DEPLOYMENT}: labels.kind must be store, where new judgements come from")
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    news = count_news(config, config.labels, _last_cancelled(client, of_deployment, config.tracking.policy_name))
    cause = _cause(news, config)
    if cause and not _is_busy(client, of_deployment, news):
        _start(client, of_deployment, cause, news, told)
    tracking = config.tracking.model_copy(update={"patience_seconds": 1.0})  # it will be asked again
    if num_ended := end_dead_runs(tracking, lambda flow_run_id: _has_died(client, flow_run_id)):
        _LOGGER.info("%d runs in MLflow were killed and are ended", num_ended)
    return config.retraining.check_seconds


def _up_to(policy_name: str) -> str:
    return f"{policy_name}-up-to-judgement-"


def _last_cancelled(client: SyncPrefectClient, of_deployment: DeploymentFilter, policy_name: str) -> int:
    """The id of the last judgement that somebody did not want learned from by itself: its run was cancelled. 0 for none."""
    cancelled = client.read_flow_runs(
        flow_run_filter=_in_state(StateType.CANCELLED),
        deployment_filter=of_deployment,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    key = re.compile(rf"{re.escape(_up_to(policy_name))}(\d+)-\d+")
    found = (key.fullmatch(run.idempotency_key or "") for run in cancelled)
    return max((int(one[1]) for one in found if one), default=0)


def _cause(news: News, config: PipelineConfig) -> Cause | None:
    name = config.tracking.policy_name
    if news.since_started >= max(1, config.retraining.min_new_judgements):
        return Cause(f"{_up_to(name)}{news.last_judgement}", 0, f"on {news.since_started} new judgements")
    if news.unfinished is not None:  # which was the first try
        sha256 = news.unfinished.snapshot_sha256
        return Cause(f"{name}-again-{sha256[:16]}", 1, f"to go on with snapshot {sha256[:16]}")
    return None


def _is_busy(client: SyncPrefectClient, of_deployment: DeploymentFilter, news: News) -> bool:
    own = _begun(client, news)
    if own is not None and own.state.type in UNDER_WAY:
        return True
    waiting = client.read_flow_runs(flow_run_filter=_in_state(*UNDER_WAY), deployment_filter=of_deployment)
    # those of a schedule wait for their hour
    return any(not (run.auto_scheduled and run.state.is_scheduled()) for run in waiting)


def _start(
    client: SyncPrefectClient, of_deployment: DeploymentFilter, cause: Cause, news: News, told: set[str]
) -> None:
    """Starts the next run of a cause, or tells once why there is none."""
    keys = cause.keys
    mine = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
    tries = client.read_flow_runs(flow_run_filter=mine, deployment_filter=of_deployment)
    last = max(tries, key=lambda run: keys.index(run.idempotency_key), default=None)
    number = keys.index(last.idempotency_key) + 1 if last else 0
    former = last or (_begun(client, news) if cause.first else None)
    if former and former.state.is_cancelled():
        _tell_once(told, f"{_named(former)} was cancelled; new judgements or the Run button start the next one")
    elif number == len(keys):
        _tell_once(told, f"given up after {1 + MAX_RESTARTS} tries until there are new judgements: {_ended(former)}")
    else:
        run = run_deployment(DEPLOYMENT, timeout=0, as_subflow=False, idempotency_key=keys[number])
        if former:
            tried = f"try {cause.first + number + 1} of {1 + MAX_RESTARTS}"
            _LOGGER.warning("%s; started %s, %s: %s", _ended(former), run.name, tried, run.id)
        else:
            _LOGGER.info("started %s %s: %s", run.name, cause.words, run.id)


def _tell_once(told: set[str], message: str) -> None:
    if message not in told:
        _LOGGER.warning(message)
    told.add(message)


def _named(run: FlowRun) -> str:
    return f"{own_name(run.name)} ({run.id})"


def _ended(run: FlowRun) -> str:
    reason = f": {run.state.message}" if run.state.message else ""
    return f"{_named(run)} came to no decision: {run.state.name}{reason}"


def _begun(client: SyncPrefectClient, news: News) -> FlowRun | None:
    """The run that has begun and not ended its retraining, as far as the store knows. None also where it is another server's."""
    if news.unfinished is None:
        return None
    own = FlowRunFilterId(any_=[UUID(news.unfinished.flow_run_id)])
    return next(iter(client.read_flow_runs(flow_run_filter=FlowRunFilter(id=own))), None)


def _in_state(*types: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))


def _has_died(client: SyncPrefectClient, flow_run_id: str) -> bool:
    try:
        state = client.read_flow_run(UUID(flow_run_id)).state
    except ObjectNotFound:  # another server's
        return False
    return state.is_crashed() or state.is_cancelled() or state.is_failed()
