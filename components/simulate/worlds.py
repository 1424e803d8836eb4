"""The worlds that can be simulated, by name: one small table of what sets them apart."""

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """What an experiment varies; the rest of the shop is the same in every world."""

    ctr: float
    """Clicks per impression."""
    cvr: float
    """Conversions per click, all of them known."""
    acted: float
    """Clicks followed by a cart or wish-list action."""
    correlation: float
    """Share of the purchase utility's spread that is the click utility's, signed, in -1 to 1."""
    confounder: float
    """Added to the logits of click, action and purchase for half of the impressions, taken from those of the others; no feature tells."""


WORLDS = {
    "default": World(ctr=0.04, cvr=0.02, acted=0.10, correlation=0.4, confounder=0.0),
    "dense": World(ctr=0.05, cvr=0.10, acted=0.20, correlation=0.4, confounder=0.0),
    "half_confounded": World(ctr=0.04, cvr=0.02, acted=0.10, correlation=0.4, confounder=0.5),
    "confounded": World(ctr=0.04, cvr=0.02, acted=0.10, correlation=0.4, confounder=1.0),
    "clickbait": World(ctr=0.04, cvr=0.02, acted=0.10, correlation=-0.4, confounder=0.0),
}


def find_world(name: str) -> World:
    """Return a world; raises ValueError on a name that is none."""
    if name not in WORLDS:
        raise ValueError(f"simulate: expected a world among {', '.join(WORLDS)}, found {name}")
    return WORLDS[name]
