"""The feedback store on SQLite and PostgreSQL: opening it, and who may sign in."""

import sqlite3
import time
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, text

from labeling.store import accounts
from labeling.store.database import BUSY_SECONDS, FeedbackStore
from labeling.store.schema import Base, Judgement, Labeler
from labeling.store.snapshots import take_snapshot
from models.errors import ConfigError, DataError
from tests.labeling.people import NOW


def test_the_migrations_make_the_tables_of_the_schema(store):
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_again_keeps_everything(people):
    people.judges("ann")
    again = FeedbackStore(people.store.url)
    with again.read() as session:
        assert session.scalar(select(func.count()).select_from(Judgement)) == 1
    again.close()


def test_what_was_judged_or_skipped_in_an_older_store_can_still_be_opened_again(people):
    judged, skipped = people.judges("ann", submission="s1"), people.skips("bob")
    with people.store.write() as session:
        session.execute(text("DROP TABLE completion_systems"))
        session.execute(text("ALTER TABLE promotions DROP COLUMN policy_sha256"))
        session.execute(text("ALTER TABLE batches DROP COLUMN is_learned_from"))
        session.execute(text("ALTER TABLE assignments DROP COLUMN closed_by"))
        session.execute(text("ALTER TABLE judgements DROP COLUMN degree"))
        session.execute(text("ALTER TABLE batches DROP COLUMN texts"))
        session.execute(text("ALTER TABLE batches DROP COLUMN qualification"))
        session.execute(text("ALTER TABLE batches DROP COLUMN completion_code"))
        session.execute(text("ALTER TABLE tasks DROP COLUMN extra_labelers"))
        session.execute(text("DROP TABLE left_out"))
        session.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    FeedbackStore(people.store.url).close()
    with people.store.read() as session:
        assert take_snapshot(session, "helpfulness").rankings, "an older batch is learned from"
    assert people.last("ann") == "s1"
    assert people.reopens("ann").id == judged.assignment_id
    assert people.reopens("bob").id == skipped.assignment_id


def test_who_opens_to_read_waits_for_nobody_who_writes(tmp_path):
    url = f"sqlite:///{tmp_path}/feedback.db"
    FeedbackStore(url).close()
    with sqlite3.connect(tmp_path / "feedback.db", isolation_level=None) as busy:
        busy.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with FeedbackStore(url) as store, store.read() as session:
            assert session.query(Labeler).count() == 0
        assert time.monotonic() - started < BUSY_SECONDS / 4, "a writer would have been waited for"
        busy.execute("ROLLBACK")


def test_a_store_of_a_newer_version_is_refused(store):
    with store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version of Rein has written it"):
        FeedbackStore(store.url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql+psycopg://rein:secret@127.0.0.1/x", "no password in the URL; set PGPASSWORD"),
        ("postgresql+psycopg://rein@127.0.0.1:1/x", "cannot be opened"),
        ("mysql://rein@127.0.0.1/x", "expected sqlite:///"),
        ("sqlite://", "name a file"),
        ("feedback.db", "Could not parse"),
    ],
)
def test_an_unusable_address_is_named_without_its_password(url, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        FeedbackStore(url)
    assert "secret" not in str(caught.value)


def test_only_the_owner_reads_a_new_sqlite_file(tmp_path):
    FeedbackStore(f"sqlite:///{tmp_path}/new/feedback.db").close()
    assert (tmp_path / "new/feedback.db").stat().st_mode & 0o077 == 0


def test_signing_in_by_token(store):
    with store.write() as session:
        token = accounts.add_labeler(session, "ann", True, NOW)
        session.flush()
        cookie = accounts.sign_in(session, f" {token}\n", NOW)
        assert accounts.sign_in(session, token + "x", NOW) is None
        session.flush()
        visitor = accounts.visitor_of(session, cookie, NOW)
        assert (visitor.name, visitor.is_overseer) == ("ann", True)
        assert accounts.form_token_fits(visitor, visitor.form_token)
        assert not accounts.form_token_fits(visitor, visitor.form_token + "x")
        assert accounts.visitor_of(session, cookie, NOW + timedelta(days=31)) is None
        assert accounts.visitor_of(session, cookie + "x", NOW) is None
        stored = str(
            session.execute(text("SELECT * FROM labelers")).all()
            + session.execute(text("SELECT * FROM sign_ins")).all()
        )
        assert token not in stored and cookie not in stored
        accounts.sign_out(session, cookie)
        assert accounts.visitor_of(session, cookie, NOW) is None


def test_a_renewed_token_ends_the_old_one(store):
    with store.write() as session:
        old = accounts.add_labeler(session, "ann", False, NOW)
        session.flush()
        cookie = accounts.sign_in(session, old, NOW)
        session.flush()
        new = accounts.renew_token(session, "ann")
        session.flush()
        assert accounts.sign_in(session, old, NOW) is None
        assert accounts.visitor_of(session, cookie, NOW) is None
        assert accounts.sign_in(session, new, NOW)


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 101])
def test_names_that_cannot_be_told_apart_are_refused(store, name):
    with pytest.raises(DataError, match="names no labeler: "), store.write() as session:
        accounts.add_labeler(session, name, False, NOW)


def test_a_name_is_taken_once(people):
    with pytest.raises(DataError, match="ann: this name is taken"), people.store.write() as session:
        accounts.add_labeler(session, "ann", False, NOW)
    with pytest.raises(DataError, match="dora: no one of this name"), people.store.write() as session:
        accounts.renew_token(session, "dora")
