"""Parts that granian lacks: limits on connections, a watchdog for processes that hang, refusal of uploads."""
