"""More labelers for a prompt, and labelers who are left out of a batch."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds a column and a table."""
    op.add_column("tasks", sa.Column("extra_labelers", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "left_out",
        sa.Column("batch_id", sa.String(), sa.ForeignKey("batches.id", name="fk_left_out_batch_id_batches")),
        sa.Column("labeler_id", sa.Integer(), sa.ForeignKey("labelers.id", name="fk_left_out_labeler_id_labelers")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "labeler_id", name="pk_left_out"),
    )
