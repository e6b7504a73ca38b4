"""Self-contained pages: no script and no outside resource, so that they can be mailed and opened anywhere."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ingestion.artifacts import write_atomically

TEMPLATES = Path(__file__).with_name("templates")


def write_pages(folder: Path, *names: str, **values: Any) -> None:
    """Write the pages `names` (`report.html`, `report.md`) into a folder, each from its template with `values`.

    What values put into a page is escaped for its language.
    """
    for name in names:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=name.endswith(".html"),
            finalize=_for_markdown if name.endswith(".md") else None,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["code"] = code_span
        write_atomically(folder / name, environment.get_template(f"{name}.j2").render(**values).encode())


def _for_markdown(value: Any) -> Any:
    """Text that neither ends a cell of a table nor becomes HTML, a link, a picture, code or emphasis."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    for mark in "\\`*[|":
        value = value.replace(mark, "\\" + mark)
    return value.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def code_span(value: object) -> Markup:
    """Text as a code span of Markdown, in which nothing has to be escaped: its fence is longer than any run of
    backticks within (CommonMark 0.31, section 6.1)."""
    text = str(value).replace("\n", " ")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return Markup(f"{fence}{space}{text}{space}{fence}")


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches, with one pair of axes."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def data_uri(figure: Figure) -> str:
    """The figure as PNG, for the `src` of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
