"""How long things take on a simulated node. One model, on the lab clock, for every node.

The numbers are those of a small EC2 instance pulling from a nearby registry; `docs/reference/
timing.md` shows them to users. Jitter is a function of the seed and of what is timed, not of the
order in which it is asked: one seed gives one history.
"""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

MIB: Final = 1024 * 1024

# Compressed sizes (linux/amd64) of images people use to try things, in bytes; others get a size
# that follows from their name.
_IMAGE_BYTES: Final = {
    "nginx": 72_000_000,
    "busybox": 2_200_000,
    "alpine": 3_600_000,
    "redis": 45_000_000,
    "postgres": 155_000_000,
    "httpd": 58_000_000,
    "python": 380_000_000,
    "pause": 320_000,
    "coredns": 21_000_000,
    "kube-proxy": 30_000_000,
    "amazon-k8s-cni": 42_000_000,
    "amazon-k8s-cni-init": 38_000_000,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds of lab time; `jitter` is the largest deviation as a fraction."""

    seed: int = 0
    jitter: float = 0.2
    node_ready_s: float = 1.0
    sandbox_s: float = 0.15
    registry_s: float = 0.15
    pull_bytes_per_s: float = 120.0 * MIB
    pull_fails_s: float = 0.5
    container_start_s: float = 0.12
    probe_answer_s: float = 0.01
    sigterm_s: float = 0.25
    sandbox_stop_s: float = 0.1
    run_to_completion_s: float = 2.0
    init_run_s: float = 0.5
    sandbox_retry_s: float = 12.0
    backoff_first_s: float = 10.0
    backoff_most_s: float = 300.0
    backoff_reset_s: float = 600.0

    def spread(self, duration_s: float, *what: str) -> float:
        """`duration_s` with the jitter that belongs to `what` (a pod's uid and a step)."""
        dice = crc32("/".join(what).encode(), self.seed & 0xFFFFFFFF) / 0xFFFFFFFF
        return duration_s * (1.0 + self.jitter * (2.0 * dice - 1.0))

    def pull_s(self, image: str) -> float:
        """Pulling an image the node does not have."""
        return self.registry_s + image_bytes(image) / self.pull_bytes_per_s

    def backoff_s(self, failures: int) -> float:
        """The pause before try number `failures + 1`: 10 s, 20 s, ... 5 minutes."""
        return min(self.backoff_first_s * 2.0 ** min(failures - 1, 10), self.backoff_most_s)


def image_bytes(image: str) -> int:
    """The size of an image: known for some, else 8 to 200 MB by its name."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    known = _IMAGE_BYTES.get(name)
    return known if known is not None else 8_000_000 + crc32(name.encode()) % 192_000_000


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, cut to milliseconds: `1.234s`, `45ms`, `1m2.5s`."""
    total_ms = int(seconds * 1000)
    if total_ms < 1000:
        return f"{total_ms}ms" if total_ms else "0s"
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `5s`, `2m`, `1h` or a bare number.

    Raises:
        ValueError: it is none of these.
    """
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)
