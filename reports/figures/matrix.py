"""Settings × attacks as a coloured table."""

import numpy as np

from reports.figures.chart import Cells, Chart, Panel
from reports.matrix import MatrixCell, MatrixData


def matrix_chart(data: MatrixData) -> Chart:
    """Draw a row per setting; a cell with fewer seeds than its row shows their number."""
    if not data.rows or not data.columns:
        return Chart(())
    cells = Cells(
        np.array([[100 * cell.mean for cell in row] for row in data.cells], dtype=np.float64),
        data.rows,
        data.headers,
        [
            [f"n = {cell.seeds}" if 0 < cell.seeds < seeds else "" for cell in row]
            for row, seeds in zip(data.cells, data.seeds, strict=True)
        ],
        [[_interval(cell) for cell in row] for row in data.cells],
    )
    labels = 0.08 * max(map(len, data.rows))
    width = max(7.16, 1.3 + labels + 0.62 * len(data.columns))
    # The headers below the cells are turned by 40 degrees.
    headers = max(1.4, 0.5 + 0.055 * max(map(len, data.headers)))
    return Chart([Panel([cells])], width=width, height=headers + 0.4 * len(data.rows))


def _interval(cell: MatrixCell) -> str:
    return "" if np.isnan(cell.low) else f"[{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
