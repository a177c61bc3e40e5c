"""What Alembic runs: the migrations, in the transaction and on the connection that `storage.migrate` hands over."""

from alembic import context

from storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
