"""Which snapshots were retrained on, and which policy was champion when."""

from functools import partial

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_needed = partial(sa.Column, nullable=False)


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "retrainings",
        _needed("id", sa.Integer()),
        _needed("policy_name", sa.String()),
        _needed("snapshot_sha256", sa.String()),
        _needed("flow_run_id", sa.String()),
        sa.Column("outcome", sa.String()),
        _needed("reason", sa.String()),
        _needed("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["snapshot_sha256"], ["snapshots.sha256"], name=op.f("fk_retrainings_snapshot_sha256_snapshots")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retrainings")),
    )
    op.create_index(op.f("ix_retrainings_policy_name"), "retrainings", ["policy_name"])
    op.create_table(
        "promotions",
        _needed("id", sa.Integer()),
        _needed("policy_name", sa.String()),
        _needed("version", sa.Integer()),
        _needed("is_rollback", sa.Boolean()),
        _needed("is_done", sa.Boolean()),
        sa.Column("snapshot_sha256", sa.String()),
        _needed("made_by", sa.String()),
        _needed("reason", sa.String()),
        _needed("created_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["snapshot_sha256"], ["snapshots.sha256"], name=op.f("fk_promotions_snapshot_sha256_snapshots")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index(op.f("ix_promotions_policy_name"), "promotions", ["policy_name"])
