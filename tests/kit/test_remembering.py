"""Caches whose keys are the clients' to choose."""

from ekslab.kit.remembering import remembered


def test_short_texts_are_answered_once_and_long_ones_are_not_kept() -> None:
    asked: list[str] = []

    @remembered(2, longest=3)
    def size(text: str, *, factor: int = 1) -> int:
        asked.append(text)
        return len(text) * factor

    for _ in range(2):
        assert size("abc") == 3
        assert size("abc", factor=2) == 6
        assert size("abcd") == 4
    assert asked == ["abc", "abc", "abcd", "abcd"]
