"""The two reports: what stands in them, and that nothing in them is taken for markup."""

import dataclasses

from PIL import Image

from bioattack.evaluation.reproduce.page import (
    Figure,
    Section,
    Table,
    to_markdown,
    to_section,
    write_report,
)

SECTION = Section(
    name="one",
    title="A <table>",
    paragraphs=["What is below 5 & above 3."],
    tables=[Table("A caption", ["network", "value"], [["a|b", "**+3.1** [0.2, 6.0]"], ["<i>c</i>", "2"]])],
    figures=[Figure("figures/one.png", "A figure")],
    warnings=["an attack failed"],
    values={"number": 1},
)


def test_markdown_escapes_what_would_end_a_cell():
    text = to_markdown("Title", ["A fact."], [SECTION])
    assert text.startswith("# Title\n\n- A fact.\n\n## A <table>\n\n> **Warning:** an attack failed\n")
    assert "| network | value |\n|---|---|\n| a\\|b | **+3.1** [0.2, 6.0] |" in text
    assert "![A figure](figures/one.png)" in text


def test_html_is_one_file_without_foreign_markup(tmp_path):
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "figures" / "one.png")
    write_report(tmp_path, title="Title", facts=["A fact."], sections=[SECTION])
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;table&gt;" in page
    assert "<td>&lt;i&gt;c&lt;/i&gt;</td>" in page
    assert "<td><b>+3.1</b> [0.2, 6.0]</td>" in page
    assert '<p class="warning">an attack failed</p>' in page
    assert page.count('src="data:image/png;base64,') == 1
    assert "http" not in page
    once = (tmp_path / "report.html").read_bytes(), (tmp_path / "report.md").read_bytes()
    write_report(tmp_path, title="Title", facts=["A fact."], sections=[SECTION])
    assert ((tmp_path / "report.html").read_bytes(), (tmp_path / "report.md").read_bytes()) == once


def test_a_section_is_read_back():
    assert to_section(dataclasses.asdict(SECTION)) == SECTION
