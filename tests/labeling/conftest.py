"""Feedback stores for tests: every test of `store` runs on SQLite and on a real PostgreSQL."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.store.database import FeedbackStore
from tests.labeling import postgres
from tests.labeling.people import People
from tests.templates import empty_store

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


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: str) -> str:
    """The name of a database that has the store's tables."""
    FeedbackStore(postgres.create_database(postgres_cluster, "rein_template")).close()
    return "rein_template"


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a store whose tables are there already."""
    if request.param == "sqlite":
        shutil.copy(empty_store(tmp_path_factory), tmp_path / "feedback.db")
        return f"sqlite:///{tmp_path}/feedback.db"
    cluster, template = (request.getfixturevalue(name) for name in ("postgres_cluster", "postgres_template"))
    return postgres.create_database(cluster, f"rein_{next(NUMBER)}", template)


@pytest.fixture
def store(store_url: str) -> Iterator[FeedbackStore]:
    opened = FeedbackStore(store_url)
    yield opened
    opened.close()


@pytest.fixture
def people(store: FeedbackStore) -> People:
    return People(store)
