"""Migrations of the gallery's database, by Alembic."""
