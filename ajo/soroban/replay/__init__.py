"""`python -m ajo.soroban.replay`: lives in devtools/replay."""
