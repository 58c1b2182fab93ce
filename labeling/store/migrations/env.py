"""Run by Alembic: applies the migrations on the connection that labeling/store/database.py hands over, within its transaction."""

from alembic import context

from labeling.store.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
