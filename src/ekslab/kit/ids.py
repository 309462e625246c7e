"""Names and ids drawn from a seeded source, in the shapes Kubernetes and AWS give them."""

from ekslab.kit.rng import Rng

# Upstream leaves out vowels and look-alikes: apimachinery pkg/util/rand.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HEX = "0123456789abcdef"


class Ids:
    """Ids of one cluster or account."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def uid(self) -> str:
        """A random (version 4) UUID, as `metadata.uid`."""
        raw = f"{self._rng.bits(128):032x}"
        variant = "89ab"[int(raw[16], 16) & 3]
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-{variant}{raw[17:20]}-{raw[20:]}"

    def suffix(self, length: int = 5) -> str:
        """What the API server appends to `generateName`."""
        return self._rng.text(_SUFFIX_ALPHABET, length)

    def hex(self, length: int) -> str:
        """Lower-case hex digits, as in `i-0123456789abcdef0` or container ids."""
        return self._rng.text(_HEX, length)
