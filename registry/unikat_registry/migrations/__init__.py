"""Migrations of the registry's database, by Alembic."""
