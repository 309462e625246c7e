"""Ids have the shape that clients check."""

import uuid

from ekslab.kit.clock import rfc3339
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng


def test_uids_are_random_uuids_and_repeat_with_their_seed():
    ids, again = Ids(Rng(7)), Ids(Rng(7))
    seen = set()
    for _ in range(200):
        uid = ids.uid()
        parsed = uuid.UUID(uid)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, uid)
        assert uid == again.uid()
        seen.add(uid)
    assert len(seen) == 200


def test_times_are_whole_seconds():
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_800_000_000.99) == rfc3339(1_800_000_000) == "2027-01-15T08:00:00Z"
