"""Pages in Markdown: what a value puts into them is literal, in text and in code spans, as a renderer sees it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from serving import pages

NAMES = ["shop_amount_eur", "a`b``c", "`", "*x* [y](z)", "<b>&amp;", "a|b\\"]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_literal(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md.j2").write_text("{{ name }} and {{ name|code }}.\n")
    monkeypatch.setattr(pages, "TEMPLATES", tmp_path)
    pages.write_pages(tmp_path, "page.md", name=name)
    shown = MarkdownIt().render((tmp_path / "page.md").read_text())
    found = re.fullmatch(r"<p>(.*) and <code>(.*)</code>\.</p>\n", shown)
    assert found is not None, shown
    assert [html.unescape(part) for part in found.groups()] == [name, name]
