"""Where problems come from, and how they are evolved, cleaned and kept apart from the benchmarks."""
