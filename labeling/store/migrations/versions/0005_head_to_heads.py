"""Which batches judge what was learned: nothing may learn from what is said there."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the column; all earlier batches are there to be learned from."""
    op.add_column("batches", sa.Column("is_learned_from", sa.Boolean(), nullable=False, server_default=sa.true()))
