"""How the texts of a batch are shown first: formatted or plain."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds the column; earlier batches go on as they began, with plain texts."""
    op.add_column("batches", sa.Column("texts", sa.String(), nullable=False, server_default="plain"))
