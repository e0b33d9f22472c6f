"""Runs the migrations on the connection that `gateway.store.migrate` opened."""

from alembic import context

from gateway.store.migrate import VERSION_TABLE
from gateway.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
