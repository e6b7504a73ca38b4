"""Self-contained pages: no script and no outside resource, so that they can be mailed and opened anywhere."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ingestion.artifacts import write_atomically

TEMPLATES = Path(__file__).with_name("templates")


def write_pages(folder: Path, *names: str, **values: Any) -> None:
    """Write the pages `names` (`report.html`, `report.md`) into a folder, each from its template with `values`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in names:
        write_atomically(folder / name, environment.get_template(f"{name}.j2").render(**values).encode())


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches, with one pair of axes."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def data_uri(figure: Figure) -> str:
    """The figure as PNG, for the `src` of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
