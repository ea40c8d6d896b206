"""The Hydra configuration tree, importable so that an installed wheel finds it."""
