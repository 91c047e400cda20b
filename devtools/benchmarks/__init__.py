"""`make bench`: what the service does in a second, each measure beside its own yardstick in the same run."""
