"""How every figure looks: one palette, one type size, and the same bytes for the same data.

A figure is drawn once and written twice: as PNG on white for papers and slides, and as SVG whose colours are
names of the report's own (so that it is right on light and dark pages alike) and whose letters are text.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image

# Distinguishable with each of the common colour vision deficiencies (Okabe and Ito 2008, Tol 2021), and at
# least 3:1 against white; the second row is the same hues, lightened, for dark pages. Models beyond the
# sixth take the colours again with another marker.
SERIES = ("#0072b2", "#d55e00", "#008a64", "#aa4499", "#8a6d00", "#5a4fcf")
SERIES_DARK = ("#5cb8ee", "#ff9a52", "#3ecf9f", "#e58fd3", "#e3c44c", "#aaa3f5")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, MUTED, GRID, PAPER = "#1d2129", "#646b75", "#e3e6ea", "#fefefe"
CSS_NAMES = {INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--card"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}

# As wide as a telephone, so that the letters can be read there; a wider page puts two side by side.
WIDTH_INCHES, HEIGHT_INCHES = 3.9, 3.1
PIXELS_PER_INCH = 220
MAX_PNG_BYTES = 150_000

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    # A class may be called "$1_bill": its name is not mathematics.
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 22.0,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.constrained_layout.h_pad": 0.07,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "ytick.major.size": 0.0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.fonttype": "none",
    "path.simplify": True,
}


def series_colour(index: int) -> str:
    """Returns the colour of the model with this place in the list of models."""
    return SERIES[index % len(SERIES)]


def series_marker(index: int) -> str:
    """Returns the marker of the model with this place; a second cue beside the colour."""
    return MARKERS[(index + index // len(SERIES)) % len(MARKERS)]


@contextmanager
def house_style() -> Iterator[None]:
    """Draws what is made inside in the style of this project, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        # A plain dict: the names that matplotlib's own types list change from release to release.
        cast("dict[str, Any]", mpl.rcParams).update(_SETTINGS)
        yield


def set_titles(axes: Axes, title: str, subtitle: str) -> None:
    """Writes a title above the axes and a smaller line below it."""
    axes.set_title(title)
    axes.annotate(
        subtitle,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 10),
        textcoords="offset points",
        color=MUTED,
        fontsize=8,
    )


def printable(text: str, *, otherwise: str = "", limit: int = 28) -> str:
    """Returns a name that the figures' typeface can draw, on one line and not too long.

    Args:
        text: A name given by a user: any characters, any length.
        otherwise: What stands in for a name with a character that the typeface does not have.
        limit: The most characters; longer names keep their beginning and their end.

    >>> printable("a very long name of a class of pictures", limit=20)
    'a very long…pictures'
    """
    line = " ".join(text.split())
    if otherwise and any(ord(character) not in _characters() for character in line):
        return otherwise
    line = "".join(character if ord(character) in _characters() else "?" for character in line)
    if len(line) <= limit:
        return line
    tail = (limit - 1) * 2 // 5 + 1
    return f"{line[: limit - 1 - tail].rstrip()}…{line[-tail:].lstrip()}"


@cache
def _characters() -> frozenset[int]:
    path = mpl.font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return frozenset(FT2Font(path).get_charmap())


def save_png(figure: Figure, path: Path, *, max_bytes: int = MAX_PNG_BYTES) -> Path:
    """Writes a figure as PNG at twice the size of a screen, under a temporary name and then renamed.

    A file of more than ``max_bytes``, which only photographs make, is brought to 256 colours and, where
    that is not enough, to fewer pixels.
    """
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, facecolor="white", metadata={"Software": None})
    content = buffer.getvalue()
    image = Image.open(buffer).convert("RGB")
    share = 1.0
    while len(content) > max_bytes and share > 0.2:
        size = (round(share * image.width), round(share * image.height))
        smaller = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).quantize(256).save(smaller, format="png", optimize=True)
        content, share = smaller.getvalue(), 0.8 * share
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(content)
    return temporary.replace(path)


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """Returns a figure as an SVG element for a page that defines the colours of ``CSS_NAMES``.

    Args:
        figure: The figure; its text must be plain words and numbers, not names given by users.
        name: Distinguishes the element's inner names from those of other figures on the page.
        title: What a screen reader says in place of the figure. It is escaped here.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]+"', text)
    body = text[text.index(">") + 1 :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    for colour, css_name in CSS_NAMES.items():
        body = body.replace(colour, f"var({css_name})")
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f'<svg role="img" aria-label="{label}" {view_box.group(0) if view_box else ""}>{body}'
