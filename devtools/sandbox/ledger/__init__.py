"""What a network keeps beside contracts' data: accounts, trustlines, settings, and what things cost."""
