"""The chain: RPC client, contract binding, event log. Knows no savings-group tables."""
