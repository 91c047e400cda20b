"""Tools for development: `make run`, the sandbox chain, the replay and the benchmarks. Not in the image."""
