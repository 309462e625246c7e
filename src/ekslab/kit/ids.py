"""Names and ids drawn from a seeded source, in the shapes Kubernetes and AWS give them."""

from ekslab.kit.rng import Rng

# Upstream leaves out vowels and look-alikes: apimachinery pkg/util/rand.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HEX = "0123456789abcdef"
# RFC 9562: four bits say version 4, two say the variant; the others are free.
_UUID_FIXED = 0x00000000_0000_4000_8000_000000000000
_UUID_FREE = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF


class Ids:
    """Ids of one cluster or account."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def uid(self) -> str:
        """A random (version 4) UUID, as `metadata.uid`."""
        raw = "%032x" % (self._rng.bits(128) & _UUID_FREE | _UUID_FIXED)
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"

    def suffix(self, length: int = 5) -> str:
        """What the API server appends to `generateName`."""
        # One draw for all letters: pods are named by the thousand.
        drawn = self._rng.bits(8 * length)
        letters = []
        for _ in range(length):
            drawn, place = divmod(drawn, len(_SUFFIX_ALPHABET))
            letters.append(_SUFFIX_ALPHABET[place])
        return "".join(letters)

    def hex(self, length: int) -> str:
        """Lower-case hex digits, as in `i-0123456789abcdef0` or container ids."""
        return self._rng.text(_HEX, length)
