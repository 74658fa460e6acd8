"""A run's pictures that are no curves: its log, its model, its team on film."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from moma.log_tools.summary import summarise
from moma.reports.card import pictures as card
from moma.reports.run import pictures
from moma.reports.run.facts import RunFacts
from moma_core.runtime import subject

TAGS = {
    "team/film": "The team's first episode in its environment",
    "model/calibration": "Share of held-out outcomes inside of the model's intervals",
    "model/error_along_episodes": "The model's error along held-out episodes",
    "data/episodes": "The log's returns and lengths",
    "data/features": "Ranges of the log's features",
    "data/actions": "The log's actions, agent by agent",
}
"""Tag in TensorBoard to what the picture shows; docs/watch.md lists them."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in base64."""

    tag: str
    data: str
    kind: str = "png"

    @property
    def title(self) -> str:
        """What it shows."""
        return TAGS[self.tag]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What there is of a run, and why the rest is missing."""

    pictures: tuple[Picture, ...]
    missing: str

    def of(self, what: str) -> list[Picture]:
        """Returns the pictures of the team, of the model or of the data."""
        return [picture for picture in self.pictures if picture.tag.startswith(f"{what}/")]


def gallery(run: RunFacts) -> Gallery:
    """Draws what a run's files and its log show."""
    data, missing = _log(run)
    drawn = {
        "model/calibration": pictures.calibration(run),
        "model/error_along_episodes": pictures.error_along_episodes(run),
        **data,
    }
    hung = [Picture(tag=tag, data=data) for tag, data in drawn.items() if data]
    if run.run.film.is_file():
        film = base64.b64encode(run.run.film.read_bytes()).decode()
        hung.append(Picture(tag="team/film", data=film, kind="gif"))
    return Gallery(pictures=tuple(hung), missing=missing)


def _log(run: RunFacts) -> tuple[dict[str, str], str]:
    """Draws the log that the run was made from; where it is not there any more, says so."""
    if not run.subject.get("data_sha256"):
        return {}, ""
    try:
        log = subject.log(run.run, run.run.config())
    except ValueError as error:  # a DatasetError is one
        return {}, str(error)
    found = summarise(log)
    return {
        "data/episodes": card.episodes(found),
        "data/features": card.features(found, log.spec.state_names),
        "data/actions": card.marginals(found, log.spec),
    }, ""
