"""pass@k with intervals, paired comparisons, benchmark runs."""
