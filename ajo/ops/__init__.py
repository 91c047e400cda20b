"""What those who run the service need: health, metrics, logging."""
