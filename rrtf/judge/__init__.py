"""Running untrusted programs against trusted tests."""
