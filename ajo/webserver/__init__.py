"""Parts that granian lacks: header names as sent, limits on connections, a watchdog of web processes, no uploads."""
