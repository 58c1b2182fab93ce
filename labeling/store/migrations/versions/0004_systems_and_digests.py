"""Which systems wrote a completion, and which policy a promotion was of, whatever its number in a registry."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds a table and a column; of earlier promotions the policy's digest is not known, and is empty."""
    op.create_table(
        "completion_systems",
        sa.Column("completion_id", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["completion_id"], ["completions.id"], name=op.f("fk_completion_systems_completion_id_completions")
        ),
        sa.PrimaryKeyConstraint("completion_id", "system", name=op.f("pk_completion_systems")),
    )
    op.add_column("promotions", sa.Column("policy_sha256", sa.String(), nullable=False, server_default=""))
