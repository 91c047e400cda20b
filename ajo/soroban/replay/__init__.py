"""Runs devtools.replay under its former name, `python -m ajo.soroban.replay`."""
