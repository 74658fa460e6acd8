"""What all our pages are made with: templates of their own package, beside those of the card."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_COMMON = "moma.reports.card"
"""Package with what pages look like, and what they have in common."""


def environment(package: str, *, escape: bool = True) -> Environment:
    """Returns what renders a package's templates; a name that is not given is an error.

    Args:
        package: with the templates.
        escape: whether the output is HTML, in which whatever comes from elsewhere is escaped.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(_COMMON, ".")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
