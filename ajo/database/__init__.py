"""Django's backend for PostgreSQL, as `ENGINE` in the settings."""
