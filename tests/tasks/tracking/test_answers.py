"""What MLflow's own client makes of each answer, and what that means here: not now, or no."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from models.errors import TrackingError
from models.settings.pipeline import TrackingConfig
from tasks.tracking.answers import LockedOut, not_now
from tasks.tracking.tracked_run import connect
from tests.tasks.gate import Gate

JSON, HTML = "application/json", "text/html"


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    opened = Gate()
    yield opened
    opened.close()


def meaning(gate: Gate, status: int, kind: str, text: str) -> TrackingError | None:
    gate.answer = (status, kind, text)
    client = MlflowClient(tracking_uri=gate.url)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MlflowException) as raised:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        client.log_batch("0" * 32, metrics=[Metric("loss", 1.0, 1, 1)])
    return not_now("here", raised.value)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, HTML, "You are not authenticated."),  # MLflow's basic-auth
        (403, HTML, "Permission denied"),
        (407, HTML, "a proxy's"),
        (401, JSON, '{"error_code": "UNAUTHENTICATED", "message": "token expired"}'),
        (403, JSON, '{"error_code": "PERMISSION_DENIED", "message": "read-only"}'),
        (401, JSON, '{"error_code": "CUSTOMER_UNAUTHORIZED", "message": "who?"}'),
        (401, JSON, '{"error_code": 401, "message": "by its number"}'),
        (200, HTML, "<html>Please sign in</html>"),  # where a login page redirects to
    ],
)
def test_who_is_not_let_in_waits_for_somebody_to_renew_the_sign_in(gate, status, kind, text):
    later = meaning(gate, status, kind, text)
    assert isinstance(later, LockedOut)
    assert str(later).startswith("MLflow at here does not let this run in (")
    assert "MLFLOW_TRACKING_TOKEN" in str(later)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        *((status, HTML, "later") for status in (408, 425, 429, 500, 502, 503, 504, 507, 521)),
        (404, HTML, "default backend - 404"),  # a proxy whose server is being replaced
        (429, JSON, '{"error_code": "RESOURCE_EXHAUSTED", "message": "too many"}'),
        (409, JSON, '{"error_code": "ABORTED", "message": "again"}'),
        (503, JSON, '{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "locked"}'),
        (401, JSON, '{"detail": "not a word of MLflow, and its client loses the status"}'),
    ],
)
def test_what_another_try_can_cure_is_away(gate, status, kind, text):
    later = meaning(gate, status, kind, text)
    assert isinstance(later, TrackingError) and not isinstance(later, LockedOut)
    assert str(later).startswith("MLflow at here is away (")


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (400, JSON, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid value"}'),
        (400, JSON, '{"error_code": "BAD_REQUEST", "message": "out of range"}'),
        (404, JSON, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run not found"}'),
        (409, JSON, '{"error_code": "RESOURCE_CONFLICT", "message": "conflict"}'),
        (400, HTML, "bad request"),
        (413, HTML, "too large"),
        (414, HTML, "too long"),
        (422, HTML, "cannot be read"),
    ],
)
def test_what_is_understood_and_refused_is_not_asked_again(gate, status, kind, text):
    assert meaning(gate, status, kind, text) is None


def test_a_call_that_needs_an_answer_does_not_wait_for_a_sign_in(gate, tmp_path: Path):
    gate.answer = (401, HTML, "You are not authenticated.")
    client = connect(TrackingConfig(uri=gate.url, patience_seconds=1000))
    before = gate.num_asked
    with pytest.raises(LockedOut, match=rf"MLflow at {gate.url} does not let this run in \(.*401"):
        client.get_experiment_by_name("rein")
    assert gate.num_asked == before + 1
