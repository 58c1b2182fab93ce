"""What an error of MLflow's client means: not now, or no."""

import errno
import re

from mlflow.entities import LifecycleStage, Metric, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient
from requests import RequestException

from models.errors import TrackingError
from tasks.tracking.outbox import Letter, RunGone

LATER_CODES = frozenset(
    {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"}
)
"""MLflow's own words for what trying again can cure: a locked database, an overloaded server."""
LATER_STATUSES = frozenset({404, 408, 425, 429})
"""With all from 500 on; 404 by a proxy whose server is not there. MLflow's own 404 says what it does not know."""
SIGN_IN_CODES = frozenset({"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"})
SIGN_IN_STATUSES = frozenset({200, 401, 403, 407})
"""200: where JSON was expected, a login page came."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_STATUS = re.compile(r"failed with error code (\d+) != 200|was (successful) but the response body was not")


class LockedOut(TrackingError):
    """MLflow, or what stands before it, does not accept who asks: nothing helps but another sign-in."""


def not_now(uri: str, error: Exception) -> TrackingError | None:
    """What to raise for an error after which the same call may yet succeed; None where MLflow has understood and refused."""
    reason = error.__context__ if isinstance(error, MlflowException) else error
    if isinstance(reason, RequestException):  # no connection, or a server that answers with 5xx, 408 or 429
        is_later = reason.response is None or reason.response.status_code >= 500
        return _away(uri, error) if is_later else None
    if isinstance(error, MlflowException):
        return _not_now_in_words(uri, error)
    return _away(uri, error) if isinstance(error, OSError) and error.errno in FULL_DISK else None


def _not_now_in_words(uri: str, error: MlflowException) -> TrackingError | None:
    if isinstance(error, RestException):
        if "error_code" not in error.json:  # somebody else's JSON, of which MLflow's client does not tell the status
            return _away(uri, error)
        status = None
    else:
        found = _STATUS.search(error.message)
        status = int(found[1] or 200) if found else None
    if status in SIGN_IN_STATUSES or (status is None and error.error_code in SIGN_IN_CODES):
        return LockedOut(
            f"MLflow at {uri} does not let this run in ({_first_line(error)}). Renew ~/.mlflow/credentials, or for the next run"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    is_later = error.error_code in LATER_CODES if status is None else status in LATER_STATUSES or status >= 500
    return _away(uri, error) if is_later else None


def _away(uri: str, error: Exception) -> TrackingError:
    """That it is away, and the first line of what is at the bottom of it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return TrackingError(f"MLflow at {uri} is away ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def send_letter(client: MlflowClient, letter: Letter) -> None:
    """Tells MLflow what is in a letter; raises what `Send` says."""
    metrics = [Metric(*point) for point in letter.metrics]
    tags = [RunTag(key, value) for key, value in letter.tags.items()]
    try:
        if metrics or tags:
            client.log_batch(letter.run_id, metrics=metrics, tags=tags)
        if letter.status:
            client.set_terminated(letter.run_id, letter.status, letter.ended)
    except Exception as error:
        if later := not_now(letter.uri, error):
            raise later from error
        if _is_gone(client, letter.run_id):
            raise RunGone from error
        raise


def _is_gone(client: MlflowClient, run_id: str) -> bool:
    try:
        return client.get_run(run_id).info.lifecycle_stage == LifecycleStage.DELETED
    except MlflowException as error:
        return error.error_code == "RESOURCE_DOES_NOT_EXIST"
