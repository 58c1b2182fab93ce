"""Feedback stores for tests: every test of `store` runs on SQLite and on a real PostgreSQL."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.store.database import FeedbackStore
from tests.labeling import postgres
from tests.labeling.people import People

NUMBER = itertools.count()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="rein-postgres-", ignore_cleanup_errors=True) as folder,
        postgres.cluster(Path(folder) / "cluster") as url,
    ):
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/feedback.db"
    return postgres.create_database(request.getfixturevalue("postgres_cluster"), f"rein_{next(NUMBER)}")


@pytest.fixture
def store(store_url: str) -> Iterator[FeedbackStore]:
    opened = FeedbackStore(store_url)
    yield opened
    opened.close()


@pytest.fixture
def people(store: FeedbackStore) -> People:
    return People(store)
