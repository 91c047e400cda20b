"""Runs devtools.sandbox under its former name, `python -m ajo.soroban.sandbox`."""
