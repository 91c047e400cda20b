"""Tools for development, not in the image: `make run`, the sandbox chain, the replay and the benchmarks."""
