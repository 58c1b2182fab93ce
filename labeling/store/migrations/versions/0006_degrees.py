"""By how much the better one of two completions is better, where a task asks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the column; of earlier judgements nobody was asked."""
    op.add_column("judgements", sa.Column("degree", sa.String(), nullable=True))
