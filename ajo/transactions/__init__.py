"""Writing: transactions are built and simulated, wallets sign them, they are submitted and followed to a proven end."""
