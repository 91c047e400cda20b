"""Replays recorded answers of the real contract and the real RPC server against the codecs and the sandbox.

    python -m devtools.replay FILE…

A line for each file with its steps, requests or entries and differences, and a line for each difference; exit 1 if
there is any.
"""
