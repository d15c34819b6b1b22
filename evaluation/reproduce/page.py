"""Sections of a report, and the report made of them: as Markdown and as one HTML file."""

import base64
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from bioattack.evaluation.pages import page_environment
from bioattack.files import replacing

REPORT_MARKDOWN, REPORT_HTML = "report.md", "report.html"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts.

    Args:
        caption: What it shows.
        header: Of the columns.
        rows: As wide as the header.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture file.

    Args:
        path: Relative to the output folder.
        caption: What it shows.
    """

    path: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """What an experiment found.

    Args:
        name: Of the experiment.
        title: Heading.
        paragraphs: Text above the tables.
        tables: Tables.
        figures: Pictures.
        warnings: What stands against believing the figures, a sentence each.
        values: The figures themselves, for programs.
    """

    name: str
    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def to_section(found: Mapping[str, Any]) -> Section:
    """Reads a section back from its dictionary (``dataclasses.asdict``)."""
    tables = [Table(**table) for table in found["tables"]]
    figures = [Figure(**figure) for figure in found["figures"]]
    return Section(**{**found, "tables": tables, "figures": figures})


def write_report(output: Path, *, title: str, facts: Sequence[str], sections: Sequence[Section]) -> None:
    """Writes ``report.md`` and ``report.html``; the same input gives the same bytes.

    Args:
        output: The folder; the figures' files are in it.
        title: Heading of the whole.
        facts: How it was made, a sentence each.
        sections: In their order.
    """
    with replacing(output / REPORT_MARKDOWN) as partial:
        partial.write_text(to_markdown(title, facts, sections), encoding="utf-8")
    with replacing(output / REPORT_HTML) as partial:
        partial.write_text(_to_html(output, title, facts, sections), encoding="utf-8")


def to_markdown(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    r"""Returns the report as Markdown.

    >>> section = Section("a", "A", tables=[Table("T", ["x"], [["1 | 2"]])])
    >>> print(to_markdown("Title", ["Made here."], [section]))
    # Title
    <BLANKLINE>
    - Made here.
    <BLANKLINE>
    ## A
    <BLANKLINE>
    T
    <BLANKLINE>
    | x |
    |---|
    | 1 \| 2 |
    <BLANKLINE>
    """
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        lines += [line for warning in section.warnings for line in (f"> **Warning:** {warning}", "")]
        lines += [line for paragraph in section.paragraphs for line in (paragraph, "")]
        for table in section.tables:
            lines += [table.caption, "", _markdown_row(table.header), "|" + "---|" * len(table.header)]
            lines += [*(_markdown_row(row) for row in table.rows), ""]
        lines += [line for figure in section.figures for line in (f"![{figure.caption}]({figure.path})", "")]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _to_html(output: Path, title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    def inlined(figure: Figure) -> str:
        content = base64.b64encode((output / figure.path).read_bytes()).decode("ascii")
        return f"data:image/png;base64,{content}"

    page = page_environment().from_string(_TEMPLATE)
    return page.render(title=title, facts=facts, sections=sections, inlined=inlined, emphasised=_emphasised)


def _emphasised(text: str) -> Markup:
    """Escapes a text and makes what stands between two pairs of asterisks bold, as Markdown does."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text))))  # noqa: S704


_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root {
  color-scheme: light dark;
  --page: #f8f7f4; --ink: #1d2129; --muted: #5f6670; --line: #e3e3de; --alarm: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #14161a; --ink: #e8e6e1; --muted: #a2a8b1; --line: #31353d; --alarm: #ff9389; }
}
body { margin: 0; background: var(--page); color: var(--ink); font: 1.0625rem/1.6 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1, h2 { font-family: Palatino, Georgia, serif; font-weight: 400; line-height: 1.25; text-wrap: balance; }
h1 { font-size: clamp(1.75rem, 1.1rem + 2.9vw, 2.75rem); }
h2 { margin: 3.5rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: 1.75rem; }
p, ul { max-width: 44rem; }
.facts { color: var(--muted); font-size: .9375rem; }
.warning { padding: .5rem .9rem; border-left: 3px solid var(--alarm); }
.scroll { margin: 1.5rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .75rem; font-weight: 600; text-align: left; }
th, td { padding: .45rem 1rem .45rem 0; border-bottom: 1px solid var(--line); text-align: left; }
th, td { vertical-align: baseline; white-space: nowrap; }
thead th { color: var(--muted); font-weight: 400; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
figure { max-width: 34rem; margin: 0; }
figure img { display: block; max-width: 100%; border-radius: .4rem; background: #fff; }
figcaption { margin-top: .5rem; color: var(--muted); font-size: .875rem; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<ul class="facts">
{% for fact in facts %}
<li>{{ fact }}</li>
{% endfor %}
</ul>
{% for section in sections %}
<section id="{{ section.name }}">
<h2>{{ section.title }}</h2>
{% for warning in section.warnings %}
<p class="warning">{{ warning }}</p>
{% endfor %}
{% for paragraph in section.paragraphs %}
<p>{{ paragraph }}</p>
{% endfor %}
{% for table in section.tables %}
<div class="scroll"><table>
<caption>{{ table.caption }}</caption>
<thead><tr>{% for cell in table.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row %}<td>{{ emphasised(cell) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endfor %}
<div class="figures">
{% for figure in section.figures %}
<figure>
<img src="{{ inlined(figure) }}" alt="{{ figure.caption }}">
<figcaption>{{ figure.caption }}</figcaption>
</figure>
{% endfor %}
</div>
</section>
{% endfor %}
</main>
</body>
</html>
"""
