"""Which submission has closed an assignment: by its name a repetition is known, and taking back names it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column, and fills it for what was judged and skipped before."""
    op.add_column("assignments", sa.Column("closed_by", sa.String()))
    op.execute(
        "UPDATE assignments SET closed_by = (SELECT submission FROM judgements"
        " WHERE judgements.assignment_id = assignments.id ORDER BY revision DESC LIMIT 1) WHERE state = 'done'"
    )
    op.execute("UPDATE assignments SET closed_by = 'skip-' || id WHERE state = 'skipped'")
