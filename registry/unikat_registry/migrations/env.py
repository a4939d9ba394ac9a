"""Alembic's entry: migrates on the connection, and in the transaction, of whoever called it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
