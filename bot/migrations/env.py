"""Run by Alembic. The connection comes from bot.store.schema, which also holds the transaction and the lock."""

from alembic import context

from bot.store.tables import metadata


def _run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit("Run `mlops-bot migrate`: it knows the database and takes the lock.")
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


_run()
