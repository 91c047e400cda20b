"""The host: runs contracts over ledger entries, and records or enforces what they touch and who authorized it."""
