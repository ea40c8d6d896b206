"""Packaged data: the builtin problem set and the recorded teachers."""
