"""Seeded dice. Whoever needs chance takes an `Rng` in its constructor; one seed, one history."""

import random
import secrets
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Rng:
    """A seeded source of chance."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrets

    def fork(self, name: str) -> "Rng":
        """A source of its own for one component, so that components do not disturb each other."""
        return Rng(f"{name}:{self._random.getrandbits(64)}")

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]."""
        return self._random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return self._random.randint(low, high)

    def bits(self, count: int) -> int:
        """An integer of `count` random bits."""
        return self._random.getrandbits(count)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return self._random.choice(items)

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put the items into a random order, in place."""
        self._random.shuffle(items)

    def text(self, alphabet: str, length: int) -> str:
        """`length` characters drawn from `alphabet`."""
        return "".join(self._random.choices(alphabet, k=length))


def fresh_seed() -> int:
    """A seed nobody can guess, for the daemon; tests and simulations give their own."""
    return secrets.randbits(64)


def secret_bytes(length: int) -> bytes:
    """Bytes fit for keys. Never seeded: keys and signatures are outside of determinism."""
    return secrets.token_bytes(length)
