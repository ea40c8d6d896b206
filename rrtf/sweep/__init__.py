"""Sweeps that resume: a ledger of points, shared by processes, that a kill can't corrupt."""
