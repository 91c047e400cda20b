"""The benchmarks of `make bench`: each measure stands beside a yardstick of its own in the same run."""
