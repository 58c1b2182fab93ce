"""The first tables. Judgements are append-only, and the database itself refuses anything else."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SQLITE_TRIGGER = """
CREATE TRIGGER judgements_no_{verb} BEFORE {verb} ON judgements
BEGIN SELECT RAISE(ABORT, 'judgements are append-only'); END
"""
POSTGRES_TRIGGER = """
CREATE FUNCTION judgements_are_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'judgements are append-only'; END $$;
CREATE TRIGGER judgements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON judgements
FOR EACH STATEMENT EXECUTE FUNCTION judgements_are_append_only();
"""


def upgrade() -> None:
    """Creates all tables."""
    op.create_table(
        "batches",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("criterion", sa.String(), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("labelers_per_prompt", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.Column("gold_every", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_criterion"), "batches", ["criterion"], unique=False)
    op.create_table(
        "labelers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_overseer", sa.Boolean(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labelers")),
        sa.UniqueConstraint("name", name=op.f("uq_labelers_name")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_labelers_token_sha256")),
    )
    op.create_table(
        "prompts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
    )
    op.create_table(
        "snapshots",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("criterion", sa.String(), nullable=False),
        sa.Column("last_judgement_id", sa.Integer(), nullable=False),
        sa.Column("num_rankings", sa.Integer(), nullable=False),
        sa.Column("num_ratings", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "completions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_completions_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_completions")),
    )
    op.create_index(op.f("ix_completions_prompt_id"), "completions", ["prompt_id"], unique=False)
    op.create_table(
        "instructions",
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_instructions_batch_id_batches")),
        sa.PrimaryKeyConstraint("batch_id", "version", name=op.f("pk_instructions")),
    )
    op.create_table(
        "instructions_read",
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_instructions_read_batch_id_batches")),
        sa.ForeignKeyConstraint(["labeler_id"], ["labelers.id"], name=op.f("fk_instructions_read_labeler_id_labelers")),
        sa.PrimaryKeyConstraint("labeler_id", "batch_id", "version", name=op.f("pk_instructions_read")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("cookie_sha256", sa.String(), nullable=False),
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.Column("form_token", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["labeler_id"], ["labelers.id"], name=op.f("fk_sign_ins_labeler_id_labelers")),
        sa.PrimaryKeyConstraint("cookie_sha256", name=op.f("pk_sign_ins")),
    )
    op.create_table(
        "snapshot_labelers",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["labeler_id"], ["labelers.id"], name=op.f("fk_snapshot_labelers_labeler_id_labelers")),
        sa.ForeignKeyConstraint(["sha256"], ["snapshots.sha256"], name=op.f("fk_snapshot_labelers_sha256_snapshots")),
        sa.PrimaryKeyConstraint("sha256", "labeler_id", name=op.f("pk_snapshot_labelers")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("completion_ids", sa.JSON(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("gold_levels", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_tasks_batch_id_batches")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_tasks_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("batch_id", "position", name=op.f("uq_tasks_batch_id_position")),
    )
    op.create_index(op.f("ix_tasks_batch_id_tasks_prompt_id"), "tasks", ["batch_id", "prompt_id"], unique=False)
    op.create_index(op.f("ix_tasks_prompt_id"), "tasks", ["prompt_id"], unique=False)
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["labeler_id"], ["labelers.id"], name=op.f("fk_withdrawals_labeler_id_labelers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint("labeler_id", name=op.f("uq_withdrawals_labeler_id")),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("labeler_id", sa.Integer(), nullable=False),
        sa.Column("shown_order", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_assignments_batch_id_batches")),
        sa.ForeignKeyConstraint(["labeler_id"], ["labelers.id"], name=op.f("fk_assignments_labeler_id_labelers")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_assignments_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("task_id", "labeler_id", name=op.f("uq_assignments_task_id_labeler_id")),
    )
    op.create_index(
        op.f("ix_assignments_labeler_id_assignments_batch_id"), "assignments", ["labeler_id", "batch_id"], unique=False
    )
    op.create_index(
        op.f("ix_assignments_task_id_assignments_state_assignments_leased_until"),
        "assignments",
        ["task_id", "state", "leased_until"],
        unique=False,
    )
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=True),
        sa.Column("levels", sa.JSON(), nullable=True),
        sa.Column("unusable", sa.JSON(), nullable=True),
        sa.Column("wanted", sa.Boolean(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("instructions_version", sa.Integer(), nullable=True),
        sa.Column("submission", sa.String(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name=op.f("fk_judgements_assignment_id_assignments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.UniqueConstraint("assignment_id", "revision", name=op.f("uq_judgements_assignment_id_revision")),
        sa.UniqueConstraint("submission", name=op.f("uq_judgements_submission")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE_TRIGGER.format(verb=verb))
    else:
        op.execute(POSTGRES_TRIGGER)
