"""Transactions: read, simulated, checked, queued, applied to a ledger, and told of."""
