"""How pages are made of templates, everywhere alike: escaped, and strict about what is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).parent / "templates"


def page_environment(*, extensions: Sequence[Any] = ()) -> Environment:
    """Makes the environment of the templates in ``templates/``.

    Args:
        extensions: Of Jinja, beside none.

    >>> page_environment().from_string("<p>{{ text }}</p>").render(text="a < b")
    '<p>a &lt; b</p>'
    """
    return Environment(
        extensions=list(extensions),
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
