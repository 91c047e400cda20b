"""Operations: health, status, metrics, logging, log-ins and heartbeats."""
