"""Where a group's next instance starts and which one ends first: pure decisions.

Rules of EC2 Auto Scaling: an instance starts in the zone with the fewest instances of the group
(a tie goes to the zone listed first); within a zone, in the subnet with the most free addresses.
The default termination policy takes from the zone with the most instances, oldest instance first.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A subnet of the group."""

    subnet_id: str
    zone: str
    free_addresses: int


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of the group; `age_rank` is lower the older it is."""

    instance_id: str
    zone: str
    age_rank: int


def choose_places(places: Sequence[Place], zones_now: Sequence[str], count: int) -> list[str]:
    """The subnets of the next `count` instances, in order; shorter when all subnets are full.

    >>> choose_places([Place("a", "1a", 9), Place("b", "1b", 9)], ["1a"], 3)
    ['b', 'a', 'b']
    """
    in_zone = {place.zone: 0 for place in places}
    for zone in zones_now:
        if zone in in_zone:
            in_zone[zone] += 1
    free = {place.subnet_id: place.free_addresses for place in places}
    chosen: list[str] = []
    for _ in range(count):
        open_places = [place for place in places if free[place.subnet_id] > 0]
        if not open_places:
            break
        zone = min(open_places, key=lambda place: in_zone[place.zone]).zone
        best = max(
            (place for place in open_places if place.zone == zone),
            key=lambda place: free[place.subnet_id],
        )
        chosen.append(best.subnet_id)
        in_zone[zone] += 1
        free[best.subnet_id] -= 1
    return chosen


def choose_victims(members: Sequence[Member], unprotected: Sequence[str], count: int) -> list[str]:
    """The instances to end, in order. Protected ones count for balance but are never taken."""
    may_end = set(unprotected)
    left = sorted(members, key=lambda member: member.age_rank)
    victims: list[str] = []
    for _ in range(count):
        candidates = [member for member in left if member.instance_id in may_end]
        if not candidates:
            break
        in_zone: dict[str, int] = {}
        for member in left:
            in_zone[member.zone] = in_zone.get(member.zone, 0) + 1
        victim = max(candidates, key=lambda member: (in_zone[member.zone], -member.age_rank))
        victims.append(victim.instance_id)
        left.remove(victim)
    return victims
