"""Follows the contract's event stream into the tables, verifies them against the chain, and repairs them."""
