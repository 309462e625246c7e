"""The commands, as click sees them. Each does its work in `ekslab.cli.lifecycle`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ekslab import __version__
from ekslab.lab.home import Home, LabConfig, LabError


def run(arguments: Sequence[str]) -> int:
    """Run one command; what a user can mend is one sentence on standard error."""
    try:
        code = cli.main(args=list(arguments), prog_name="ekslab", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        print("aborted", file=sys.stderr)
        return 130
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def _home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        help="The lab's directory (default: $EKSLAB_HOME, or ~/.ekslab).",
    )(command)


def _home(path: Path | None) -> Home:
    return Home(path) if path else Home.from_environment()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ekslab")
def cli() -> None:
    """Amazon EKS on this machine: an AWS endpoint and a Kubernetes cluster."""


@cli.command()
@_home_option
@click.option("--nodes", type=click.IntRange(0, 450), help="Nodes of the first node group [3].")
@click.option("--instance-type", help="Instance type of the first node group [m5.large].")
@click.option("--kubernetes-version", help="Version of the first cluster [the newest].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the AWS endpoint [4566].")
@click.option("--region", help="Region of the account [us-east-1].")
@click.option("--ephemeral", is_flag=True, help="Keep nothing on disk; gone with `ekslab down`.")
@click.option("--foreground", is_flag=True, help="Stay in the foreground; Ctrl-C stops the lab.")
def up(home: Path | None, *, foreground: bool, **options: Any) -> int:
    """Start the lab, or show it if it runs already."""
    from ekslab.cli import lifecycle

    # 0 nodes is an answer, too: `0 in (None, False)` would say it was not given.
    given = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    return lifecycle.up(_home(home), given, foreground=foreground)


@cli.command()
@_home_option
def down(home: Path | None) -> int:
    """Stop the lab. What it holds is there again after the next `ekslab up`."""
    from ekslab.cli import lifecycle

    return lifecycle.down(_home(home))


@cli.command()
@_home_option
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def status(home: Path | None, output: str) -> int:
    """Show what runs: endpoint, clusters, nodes, processes."""
    from ekslab.cli import lifecycle

    return lifecycle.status(_home(home), as_json=output == "json")


@cli.command()
@_home_option
@click.option("--unset", is_flag=True, help="Take the variables back instead.")
def env(home: Path | None, *, unset: bool) -> int:
    """Print shell lines that point aws and kubectl at the lab: eval "$(ekslab env)"."""
    from ekslab.cli import lifecycle

    return lifecycle.env(_home(home), unset=unset)


@cli.command()
@click.option("--cluster-name", required=True, help="The EKS cluster to log in to.")
@click.option("--region", help="Region to sign for.")
def token(cluster_name: str, region: str | None) -> None:
    """Print a token for kubectl (an exec plugin, as `aws eks get-token`, but fast)."""
    # The command itself never comes here: `ekslab.cli.main` takes the short way.
    raise AssertionError(cluster_name, region)


@cli.command()
@_home_option
@click.argument("process", type=click.Choice(["cloud", "clusters", "supervisor"]), required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines are written.")
@click.option("--lines", "-n", type=click.IntRange(0), default=200, show_default=True)
def logs(home: Path | None, process: str | None, *, follow: bool, lines: int) -> int:
    """Show the logs of the lab's processes."""
    from ekslab.cli import lifecycle

    return lifecycle.logs(_home(home), process, follow=follow, lines=lines)


@cli.command()
@_home_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(home: Path | None, *, yes: bool) -> int:
    """Stop the lab and delete everything in it."""
    from ekslab.cli import lifecycle

    chosen = _home(home)
    if not yes:
        click.confirm(f"Delete the lab in {chosen.path} with all its clusters?", abort=True)
    return lifecycle.reset(chosen)


@cli.group()
def nodes() -> None:
    """Nodes without AWS: simulated, straight into a cluster."""


@nodes.command("add")
@_home_option
@click.argument("count", type=click.IntRange(1, 100_000))
@click.option("--cluster", default="lab", show_default=True, help="The cluster that gets them.")
@click.option("--instance-type", default="m5.large", show_default=True, help="Their size.")
def nodes_add(home: Path | None, count: int, cluster: str, instance_type: str) -> int:
    """Add COUNT simulated nodes that have no EC2 instance behind them."""
    from ekslab.cli import lifecycle

    return lifecycle.nodes_add(_home(home), count, cluster=cluster, instance_type=instance_type)


__all__ = ["LabConfig", "cli", "run"]
