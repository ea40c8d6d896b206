"""What every test may ask for."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("RRTF_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real problem sets and recorded responses beside the checkout; skips where it is missing."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no shared data at {SHARED} (set RRTF_SHARED to the folder that holds data/)")
    return SHARED / "data"
