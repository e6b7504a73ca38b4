"""The report names the source files that nothing vouches for, and no others."""

import jinja2
import pytest

from serving.pages import TEMPLATES


@pytest.mark.parametrize("name", ["report.html.j2", "report.md.j2"])
def test_unverified_files_are_named(name: str) -> None:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    begin, end = text.index("{% set unverified"), text.index("{% endif %}", text.index("{% if unverified")) + 11
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text[begin:end])
    sources = [{"name": "a.csv", "verified_by": None}, {"name": "b.csv", "verified_by": "sha256 sidecar"}]
    shown = template.render(data={"snapshot": {"sources": [*sources, {"name": "older.csv"}]}})
    assert "a.csv" in shown and "unverified" in shown
    assert "b.csv" not in shown and "older.csv" not in shown
    assert template.render(data={"snapshot": {"sources": sources[1:]}}).strip() == ""
