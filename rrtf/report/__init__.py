"""Rows of results, and the tables, figures and pages drawn from them."""
