"""Small formats of a checkpoint: made, measured and compared with the original (paper, Table 4)."""
