"""Every notebook executes on the committed rows, shows a picture that is not empty, holds no logic and is stripped."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="needs rrtf[notebooks]")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_notebooks_are_the_papers_tables_figures_and_the_ablations() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["ablations", "figure_4", "figure_5", "table_2", "table_3", "table_4"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_its_cells_are_short(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert max(cell.source.count("\n") for cell in cells) < 12
    assert not any(word in cell.source for cell in cells for word in ("def ", "for row", "import torch", "subprocess", "http"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_network_and_its_pictures_are_not_empty(path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs rrtf[notebooks]")
    notebook = nbformat.read(path, as_version=4)
    # the kernel talks to this process over the loopback; everything else is refused
    deny = """import socket
_connect = socket.socket.connect
def _refuse(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError("no network in notebooks")
    return _connect(self, address)
socket.socket.connect = _refuse"""
    notebook.cells.insert(0, nbformat.v4.new_code_cell(deny))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"))
        assert pixels.std() > 5 and min(pixels.shape) > 200
