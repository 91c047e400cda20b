"""`python -m ajo.soroban.sandbox`: lives in devtools/sandbox."""
