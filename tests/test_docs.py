"""The course in docs/: its snippets run, to the outputs that it shows; its links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("[0-9]*.md"))


def build():
    pytest.importorskip("matplotlib", reason="the figures need matplotlib (extra `plot`)")
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_course_is_there():
    assert len(PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_give_what_the_page_shows(page):
    failed, tried = build().run(page)
    assert tried
    assert not failed


def test_a_changed_output_is_seen(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    assert build().run(page) == (1, 1)
    assert "Expected:\n    3\n" in capsys.readouterr().out


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert links
    missing = [link for link in links if "://" not in link and not (DOCS / link).is_file()]
    assert not missing


def test_every_figure_is_rendered_by_the_build_and_shown():
    shown = set()
    for page in PAGES:
        shown |= set(re.findall(r"\(figures/([^)]+)\)", page.read_text(encoding="utf-8")))
    files = {path.name for path in (DOCS / "figures").iterdir()}
    assert shown == files == build().FIGURES.keys()


def test_a_figure_is_rendered_anew(tmp_path, monkeypatch):
    module = build()
    (tmp_path / "figures").mkdir()
    monkeypatch.setattr(module, "HERE", tmp_path)
    image = pytest.importorskip("PIL.Image", reason="rendering needs Pillow (extra `image`)")
    module.render("matrix.png")
    here, there = (where / "figures/matrix.png" for where in (tmp_path, DOCS))
    with image.open(here) as drawn, image.open(there) as kept:
        assert drawn.size == kept.size
