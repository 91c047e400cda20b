"""A local Stellar RPC with the Ajo contract behind it, in Python: for development, demos and tests only."""
