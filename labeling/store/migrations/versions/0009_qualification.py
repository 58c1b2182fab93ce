"""Tasks to qualify by before a batch, and the code that is shown at its end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds the columns; earlier batches have neither."""
    op.add_column("batches", sa.Column("qualification", sa.JSON(), nullable=True))
    op.add_column("batches", sa.Column("completion_code", sa.String(), nullable=True))
