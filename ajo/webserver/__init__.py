"""What granian leaves open: limits on connections, processes that hang, uploads."""
