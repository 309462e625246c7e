"""`./dev bench [NAMES]`: measure the budgets of the design and print one table."""

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import SubprocessError

from bench.create_steps import create_steps
from bench.lab import BenchLab
from bench.load import MissingWrkError, loop_ms
from bench.rows import Row, table
from bench.scenario import Needs, Scenario, Surroundings
from bench.scenarios import aws, idling, objects, scheduling, starting, tenants, watches, workloads
from bench.target import Target

# In the order they run: what measures rest and memory comes before what leaves traces.
SCENARIOS = (
    Scenario("start", Needs.NOTHING, starting.run),
    Scenario("tenants", Needs.NOTHING, tenants.run),
    Scenario("scheduler", Needs.NOTHING, scheduling.run),
    Scenario("idle", Needs.LAB, idling.run),
    Scenario("token", Needs.LAB, starting.token),
    Scenario("aws", Needs.LAB, aws.run),
    Scenario("creates", Needs.CLUSTER, objects.creates),
    Scenario("gets", Needs.CLUSTER, objects.gets),
    Scenario("lists", Needs.CLUSTER, objects.lists),
    Scenario("watches", Needs.CLUSTER, watches.run),
    Scenario("workloads", Needs.LAB, workloads.run),
)


def main() -> int:
    """Run the scenarios named, or all of them."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_names()))
    parser.add_argument("--kubeconfig", type=Path, help="aim the load at another cluster")
    parser.add_argument("--pid", type=int, action="append", default=[], help="of its server")
    parser.add_argument("--create-steps", action="store_true", help="what a create costs, by step")
    options = parser.parse_args()
    if options.create_steps:
        print(create_steps())
        return 0
    unknown = set(options.names) - set(_names())
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [one for one in SCENARIOS if not options.names or one.name in options.names]
    if options.kubeconfig:
        chosen = [one for one in chosen if one.needs is Needs.CLUSTER]
    try:
        rows = _run(chosen, options.kubeconfig, options.pid)
    except MissingWrkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    speed = f"a million steps of a Python loop take {loop_ms():.0f} ms of CPU"
    print(f"{platform.machine()}, Python {platform.python_version()}, medians of 3; now {speed}\n")
    print(table(rows))
    return 0


def _names() -> list[str]:
    return [one.name for one in SCENARIOS]


def _run(chosen: Sequence[Scenario], kubeconfig: Path | None, pids: list[int]) -> list[Row]:
    surroundings = Surroundings()
    if kubeconfig is not None:
        surroundings.target = Target(kubeconfig, pids=pids)
    rows: list[Row] = []
    try:
        for scenario in chosen:
            if scenario.needs is not Needs.NOTHING and surroundings.target is None:
                surroundings.lab = BenchLab.start("--nodes", "3")
                surroundings.target = surroundings.lab.target()
            started = time.monotonic()
            try:
                rows.extend(scenario.run(surroundings))
            except (RuntimeError, OSError, AssertionError, SubprocessError) as error:
                # One that fails is a row, too: the others are still worth knowing.
                rows.append(Row(scenario.name, f"FAILED: {error!r}"[:120]))
            print(f"{scenario.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    finally:
        if surroundings.lab is not None:
            surroundings.lab.stop()
    return rows


if __name__ == "__main__":
    sys.exit(main())
