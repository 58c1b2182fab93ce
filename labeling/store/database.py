"""The feedback store: one database (SQLite or PostgreSQL) that keeps what people were shown and what they said."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from models.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 60
MIGRATION_LOCK = 0x5245494E  # any fixed number: two processes that open a new PostgreSQL store at once take turns


class FeedbackStore:
    """An open feedback store. Every call of `read` or `write` is one transaction.

    `url` is a SQLAlchemy URL: `sqlite:///.rein/feedback.db`, `postgresql+psycopg://user@host/name`. It must hold no password:
    libpq takes it from PGPASSWORD or ~/.pgpass. Opening creates the database file and brings the tables up to date; where they are,
    it only reads, and waits for nobody who writes.
    Raises ConfigError for a URL that cannot be used and for a store that a newer Rein has written.
    """

    def __init__(self, url: str):
        self.url = url
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(writes=True)
        # SQLite lets writers in by chance: of fifty, some waited for a minute. PostgreSQL needs no turns.
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()
        try:
            with self.engine.connect() as connection:
                is_current = _is_current(connection)
            if not is_current:
                with self._writer.begin() as connection:
                    _migrate(connection)
        except DBAPIError as error:
            self.close()
            raise ConfigError(f"feedback store {url}: cannot be opened: {_first_line(error)}") from None
        except ConfigError:
            self.close()
            raise

    def __enter__(self) -> "FeedbackStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end, or rolled back on an exception."""
        with self._turn, Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        address = make_url(url)
        if address.password is not None:
            raise ConfigError(
                f"feedback store {address.render_as_string(hide_password=True)}: no password in the URL; set PGPASSWORD or ~/.pgpass"
            )
        if address.get_backend_name() == "sqlite":
            return _sqlite_engine(url, address.database)
        if address.get_backend_name() == "postgresql":
            return create_engine(url, pool_size=20, max_overflow=20, pool_pre_ping=True)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise ConfigError(f"feedback store {url}: {error}") from None
    raise ConfigError(f"feedback store {url}: expected sqlite:///… or postgresql+psycopg://…")


def _sqlite_engine(url: str, database: str | None) -> Engine:
    if not database or database == ":memory:":
        raise ConfigError(f"feedback store {url}: name a file, such as sqlite:///.rein/feedback.db")
    path = Path(database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, stat.S_IRUSR | stat.S_IWUSR))  # it holds what people said
    except OSError as error:
        raise ConfigError(f"feedback store {url}: cannot be made: {error.strerror}") from None
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=20, max_overflow=30)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: object, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: two who both read first and then write would deadlock."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_current(connection: Connection) -> bool:
    """Whether the tables are those of this version. Raises ConfigError where they are of a newer one."""
    script = ScriptDirectory(str(MIGRATIONS))
    present = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if present is not None and present not in known:
        raise ConfigError(
            f"feedback store {connection.engine.url.render_as_string()}: a newer version of Rein has written it (schema {present}); update Rein"
        )
    return present == script.get_current_head()


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    if not _is_current(connection):  # another process may have been first
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
