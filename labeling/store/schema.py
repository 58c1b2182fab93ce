"""The tables of the feedback store (SQLAlchemy 2; SQLite or PostgreSQL). labeling/store/migrations creates and changes them.

What people said is append-only: a `Judgement` row is never updated or deleted. An edit is a further revision, taking back is
a revision that says so, and a withdrawal is a mark on the labeler. Leases, settings of a batch and what an overseer
says of it are the only things that change in place.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Dialect, ForeignKey, Index, MetaData, UniqueConstraint, true
from sqlalchemy import DateTime as DatabaseDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its time zone, always UTC. SQLite keeps no zone; it is put back when read."""

    impl = DatabaseDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime(), dict[str, Any]: JSON, list[Any]: JSON}


class PromptRow(Base):
    """A prompt record."""

    __tablename__ = "prompts"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    split: Mapped[str]


class CompletionRow(Base):
    """A completion record."""

    __tablename__ = "completions"
    id: Mapped[str] = mapped_column(primary_key=True)
    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"), index=True)
    text: Mapped[str]
    ended: Mapped[bool]


class CompletionSystem(Base):
    """That a system wrote a completion. Labelers do not see it."""

    __tablename__ = "completion_systems"
    completion_id: Mapped[str] = mapped_column(ForeignKey("completions.id"), primary_key=True)
    system: Mapped[str] = mapped_column(primary_key=True)


class Batch(Base):
    """What was published for labelers in one go. `task` holds the settings of the kind of task (models/settings/pipeline.py).

    `texts`: how they are shown first, formatted or plain. `qualification`: its settings, None for none; `completion_code` as there. `labelers_per_prompt` 0: imported, nothing is handed out. `is_learned_from` False: a head-to-head, whose votes judge what was learned;
    no snapshot to learn from has them.
    """

    __tablename__ = "batches"
    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    criterion: Mapped[str] = mapped_column(index=True)
    task: Mapped[dict[str, Any]]
    texts: Mapped[str] = mapped_column(server_default="plain")
    labelers_per_prompt: Mapped[int]
    lease_seconds: Mapped[float]
    gold_every: Mapped[int]
    qualification: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    completion_code: Mapped[str | None]
    is_learned_from: Mapped[bool] = mapped_column(server_default=true())
    created_at: Mapped[datetime]


class Instructions(Base):
    """A version of a batch's instructions, Markdown; versions count from 1."""

    __tablename__ = "instructions"
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    created_at: Mapped[datetime]


class Task(Base):
    """One prompt of a batch with completions to judge. `gold_levels`: the known order of a gold prompt, best first.

    `session`: that of an import in which people were asked the same several times; else empty. `extra_labelers`: how many are asked beyond
    the batch's `labelers_per_prompt`.
    """

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"))
    position: Mapped[int]
    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"), index=True)
    completion_ids: Mapped[list[Any]]
    session: Mapped[str]
    gold_levels: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    extra_labelers: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = (UniqueConstraint("batch_id", "position"), Index(None, "batch_id", "prompt_id"))


class Labeler(Base):
    """Someone who judges, or oversees. `token_sha256` is None for those known from imports only: they cannot sign in."""

    __tablename__ = "labelers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    is_overseer: Mapped[bool]
    token_sha256: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class Withdrawal(Base):
    """The mark that takes all that a labeler said until then out of later snapshots."""

    __tablename__ = "withdrawals"
    id: Mapped[int] = mapped_column(primary_key=True)
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"), unique=True)
    reason: Mapped[str]
    created_at: Mapped[datetime]


class LeftOut(Base):
    """The mark that has nothing count that a labeler says in a batch, until it is taken away."""

    __tablename__ = "left_out"
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"), primary_key=True)
    created_at: Mapped[datetime]


class SignIn(Base):
    """A browser that signed in: the digest of its cookie, and the token that its forms must carry."""

    __tablename__ = "sign_ins"
    cookie_sha256: Mapped[str] = mapped_column(primary_key=True)
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"))
    form_token: Mapped[str]
    expires_at: Mapped[datetime]


class InstructionsRead(Base):
    """That a labeler was shown a version of the instructions and went on."""

    __tablename__ = "instructions_read"
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"), primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class Assignment(Base):
    """A task given to a labeler: in which order its completions are shown (empty: an import, not known), and until when the
    place is kept.

    `state`: open (given), done (judged), skipped (by the labeler), lapsed (the lease ran out and another took the place),
    withdrawn (its labeler did). `closed_at`: when it was last judged or skipped; `closed_by`: the key of the submission that did it,
    None for imports.
    """

    __tablename__ = "assignments"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"))
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"))
    shown_order: Mapped[list[Any]]
    state: Mapped[str]
    given_at: Mapped[datetime]
    leased_until: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("task_id", "labeler_id"),
        Index(None, "task_id", "state", "leased_until"),
        Index(None, "labeler_id", "batch_id"),
    )


class Judgement(Base):
    """One revision of what a labeler said about a task; of an assignment's revisions the last counts. Never changed.

    A ranking has `levels` and `unusable` (completion id -> reason), and `degree` where it was asked by how much one of two is better; a rating
    has `wanted`, and a revision that takes the former one back has neither. `record_id` is the id of the `Ranking` or `Rating` it makes. `submission` is a random key
    chosen by the sender: sent twice, it is stored once. `seconds` since the task was shown, None where not known.
    """

    __tablename__ = "judgements"
    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"))
    revision: Mapped[int]
    record_id: Mapped[str | None]
    levels: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    unusable: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    wanted: Mapped[bool | None]
    degree: Mapped[str | None]
    note: Mapped[str]
    instructions_version: Mapped[int | None]
    submission: Mapped[str] = mapped_column(unique=True)
    seconds: Mapped[float | None]
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("assignment_id", "revision"),)


class Snapshot(Base):
    """What a run has learned from: the digest of the snapshot, and the last judgement it could see."""

    __tablename__ = "snapshots"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    criterion: Mapped[str]
    last_judgement_id: Mapped[int]
    num_rankings: Mapped[int]
    num_ratings: Mapped[int]
    created_at: Mapped[datetime]


class SnapshotLabeler(Base):
    """That a snapshot holds rankings or ratings of a labeler."""

    __tablename__ = "snapshot_labelers"
    sha256: Mapped[str] = mapped_column(ForeignKey("snapshots.sha256"), primary_key=True)
    labeler_id: Mapped[int] = mapped_column(ForeignKey("labelers.id"), primary_key=True)


class Retraining(Base):
    """A retraining of the policy that is registered as `policy_name`: the snapshot it learns from, and how it ended.

    `outcome`: promoted, kept (the champion stays), failed, cancelled; None while it runs, and for good when it was killed.
    """

    __tablename__ = "retrainings"
    id: Mapped[int] = mapped_column(primary_key=True)
    policy_name: Mapped[str] = mapped_column(index=True)
    snapshot_sha256: Mapped[str] = mapped_column(ForeignKey("snapshots.sha256"))
    flow_run_id: Mapped[str]
    outcome: Mapped[str | None]
    reason: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Promotion(Base):
    """A move of the champion to a version of the policy that is registered as `policy_name`. The last one counts; none is taken out.

    `is_done`: the alias in the model registry has been moved, too.
    `is_rollback`: it takes the former move back. `snapshot_sha256` is what its reward model has learned from, None where that
    came from elsewhere. `policy_sha256` tells the version from one of the same number in another registry. `made_by` is a person,
    `retrain`, or `MLflow` where the alias was found moved.
    """

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(primary_key=True)
    policy_name: Mapped[str] = mapped_column(index=True)
    version: Mapped[int]
    policy_sha256: Mapped[str] = mapped_column(server_default="")
    is_rollback: Mapped[bool]
    is_done: Mapped[bool]
    snapshot_sha256: Mapped[str | None] = mapped_column(ForeignKey("snapshots.sha256"))
    made_by: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime]
