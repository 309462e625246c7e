"""What the commands do: start and stop the lab's process tree, and ask it how it is."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ekslab.lab import log_files
from ekslab.lab.home import Home, LabConfig, LabError

_CALL_S: Final = 5.0
_UP_S: Final = 120.0  # far beyond what it takes; for machines that are very busy
_DOWN_S: Final = 20.0
_POLL_S: Final = 0.02
_FOLLOW_S: Final = 0.2
_VARIABLES: Final = (
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION",
    "AWS_DEFAULT_REGION", "KUBECONFIG", "EKSLAB_HOME",
)  # fmt: skip
_UNREACHABLE: Final = (ConnectionError, TimeoutError, FileNotFoundError)


def up(home: Home, options: Mapping[str, Any], *, foreground: bool) -> int:
    """Start the lab and wait until its first cluster and its nodes are there."""
    home.prepare()
    known = home.load_config()
    config = replace(known or LabConfig(), **options)
    if home.supervisor_pid() is not None:
        _check_unchangeable(known and replace(known, ephemeral=False), config)
        print(f"The lab in {home.path} is running already.\n")
        return status(home, as_json=False)
    _check_unchangeable(known, config)
    _check_offered(config)
    _check_port(config.port)
    home.save_config(config)
    if foreground:
        return _run_here(home)
    supervisor = _spawn(home)
    try:
        state = _wait_ready(home, supervisor)
    except LabError:
        _end(home, supervisor.pid)
        raise
    print(_next_steps(home, state))
    return 0


def _check_unchangeable(known: LabConfig | None, config: LabConfig) -> None:
    """The first cluster is made once: what shaped it cannot be given anew."""
    if known is None or known.ephemeral:
        return
    for field, option in (
        ("region", "--region"),
        ("kubernetes_version", "--kubernetes-version"),
        ("instance_type", "--instance-type"),
        ("nodes", "--nodes"),
        ("ephemeral", "--ephemeral"),
    ):
        if getattr(known, field) != getattr(config, field):
            raise LabError(
                f"this lab was made {_as_given(option, getattr(known, field))};"
                " change it through the AWS API, or start over with `ekslab reset`"
            )


def _as_given(option: str, value: object) -> str:
    if value is False:
        return f"without {option}"
    return f"with the default {option}" if value == "" else f"with {option} {value}"


def _check_offered(config: LabConfig) -> None:
    """Refuse what no cluster or node group could be made of, before anything is started."""
    from ekslab.cloud.facts.instances import network_limits
    from ekslab.kube.api.schema.catalog import SUPPORTED_VERSIONS

    version = config.kubernetes_version
    if version and version not in SUPPORTED_VERSIONS:
        raise LabError(
            f"there is no Kubernetes {version} here; choose one of {', '.join(SUPPORTED_VERSIONS)}"
        )
    if config.instance_type not in network_limits():
        import difflib

        near = difflib.get_close_matches(config.instance_type, network_limits(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise LabError(f"there is no EC2 instance type {config.instance_type}{hint}")
    if config.region not in _regions():
        raise LabError(f"there is no AWS region {config.region!r}; one is us-east-1")


def _regions() -> set[str]:
    """Regions of the commercial partition, from botocore's own table (its client is not loaded)."""
    table = json.loads(resources.files("botocore").joinpath("data/partitions.json").read_bytes())
    commercial = next(one for one in table["partitions"] if one["id"] == "aws")
    return {name for name in commercial["regions"] if not name.endswith("-global")}


def _check_port(port: int) -> None:
    if port:
        from ekslab.lab.ports import take_port

        take_port(port).close()


def _run_here(home: Home) -> int:
    from ekslab.lab.supervisor import Supervisor

    return Supervisor(home, foreground=True).run()


def _spawn(home: Home) -> subprocess.Popen[bytes]:
    home.take_failure()  # an old one
    with (home.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ekslab.lab.supervisor", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(home: Home, supervisor: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Poll the lab until everything asked for is there, showing each step once."""
    with _progress() as show:
        deadline = time.monotonic() + _UP_S  # noqa: TID251 - the command line has no lab clock
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:  # noqa: TID251
            ended = supervisor.poll() is not None
            if (failure := home.take_failure()) or ended:
                raise LabError(failure or f"the lab ended while it was starting; see {home.logs}")
            state = _clusters_state(home)
            show(state)
            if state.get("ready"):
                return state
            time.sleep(_POLL_S)  # noqa: TID251
    raise LabError(
        f"the lab did not get ready within {_UP_S:.0f} s"
        f" ({state.get('step', 'nothing answers')}); `ekslab logs` shows why"
    )


class _progress:  # noqa: N801 - reads as a verb where it is used
    """Prints each new step of starting up, on a terminal with a time beside it."""

    def __enter__(self) -> Callable[[Mapping[str, Any]], None]:
        self._started_s = time.monotonic()  # noqa: TID251
        self._shown: set[str] = set()
        return self._show

    def __exit__(self, *_: object) -> None:
        return

    def _show(self, state: Mapping[str, Any]) -> None:
        for step in state.get("steps", ()):
            if step not in self._shown:
                self._shown.add(step)
                elapsed = time.monotonic() - self._started_s  # noqa: TID251
                print(f"  {elapsed:5.2f} s  {step}", file=sys.stderr, flush=True)


def _clusters_state(home: Home) -> dict[str, Any]:
    try:
        return _call(home, "clusters", "GET", "/status")
    except _UNREACHABLE:
        return {}


def _call(
    home: Home,
    process: str,
    method: str,
    route: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = _CALL_S,
) -> dict[str, Any]:
    """See `control.call`. HTTP is first imported here: by then the lab is starting."""
    from ekslab.lab import control

    return control.call(home.socket(process), method, route, body, timeout_s=timeout_s)


def _next_steps(home: Home, state: Mapping[str, Any]) -> str:
    command = "ekslab" if shutil.which("ekslab") else "./dev exec ekslab"
    return (
        f"\nThe lab is up: AWS endpoint {state['endpoint']}, account {state['account']},"
        f" region {state['region']}.\n"
        f"Cluster {state['cluster']} (Kubernetes {state['kubernetes_version']})"
        f" with {state['nodes_ready']} node{'' if state['nodes_ready'] == 1 else 's'}.\n\n"
        f'  eval "$({command} env{_home_flag(home)})"\n'
        "  kubectl get nodes -o wide\n"
        "  aws eks describe-cluster --name lab\n"
    )


def _home_flag(home: Home) -> str:
    default = Home.from_environment().path
    return "" if home.path == default else f" --home {shlex.quote(str(home.path))}"


def down(home: Home) -> int:
    """Stop the lab and wait until nothing of it is left."""
    pid = home.supervisor_pid()
    if pid is None:
        print("The lab is not running.")
        return 0
    _end(home, pid)
    config = home.load_config()
    if config is not None and config.ephemeral:
        home.delete()
    print("The lab is down.")
    return 0


def _end(home: Home, pid: int) -> None:
    try:
        _call(home, "clusters", "POST", "/stop")
    except (*_UNREACHABLE, LabError):
        # A process that does not answer does not keep the lab from ending.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    # Its lock is let go of a moment before the process is: wait for the process.
    deadline = time.monotonic() + _DOWN_S  # noqa: TID251
    while home.supervisor_pid() == pid or _is_running(pid):
        if time.monotonic() > deadline:  # noqa: TID251
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # its children die with it
            deadline += _DOWN_S
        time.sleep(_POLL_S)  # noqa: TID251


def _is_running(pid: int) -> bool:
    """Whether a process runs still; one that only waits for its parent to notice has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status(home: Home, *, as_json: bool) -> int:
    """Show how the lab is; exit code 1 if it does not run."""
    pid = home.supervisor_pid()
    shown: dict[str, Any] = {"home": str(home.path), "running": pid is not None}
    if pid is not None:
        shown["supervisor"] = pid
        for name in ("cloud", "clusters"):
            try:
                shown[name] = _call(home, name, "GET", "/status")
            except _UNREACHABLE:
                shown[name] = {"state": "not answering"}
    if as_json:
        print(json.dumps(shown, indent=2))
    else:
        _print_status(shown)
    return 0 if shown["running"] else 1


def _print_status(shown: Mapping[str, Any]) -> None:
    if not shown["running"]:
        print(f"The lab in {shown['home']} is not running; start it with `ekslab up`.")
        return
    clusters = shown["clusters"]
    print(f"home      {shown['home']}")
    print(f"endpoint  {clusters.get('endpoint', 'not answering')}")
    for row in clusters.get("clusters", ()):
        print(
            f"cluster   {row['name']:20} {row['status']:10} {row['version']:6}"
            f" {row['nodes_ready']}/{row['nodes']} nodes  {row['pods']} pods  {row['endpoint']}"
        )
    for name in ("cloud", "clusters"):
        row = shown[name]
        print(f"process   {name:20} pid {row.get('pid', '-')}  {row.get('rss_mib', '-')} MiB")


def env(home: Home, *, unset: bool = False) -> int:
    """Print the variables of a shell that uses the lab, or the lines that take them back."""
    if unset:
        print(f"unset {' '.join(_VARIABLES)}")
        return 0
    state = _clusters_state(home)
    if not state.get("endpoint"):
        raise LabError("the lab is not running; start it with `ekslab up`")
    keys = json.loads(home.credentials.read_text())
    values = (
        state["endpoint"],
        keys["access_key_id"],
        keys["secret_access_key"],
        state["region"],
        state["region"],
        str(home.kubeconfig),
        str(home.path),
    )
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        print(f"unset {name}")
    for name, value in zip(_VARIABLES, values, strict=True):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def logs(home: Home, process: str | None, *, follow: bool, lines: int) -> int:
    """Print the last lines of the processes' logs, and go on if asked to."""
    places = {}
    for name in [process] if process else log_files.PROCESSES:
        found, places[name] = _log_lines(home, name, lines=lines)
        for line in found:
            print(line)
    while follow:
        for name, place in places.items():
            found, places[name] = _log_lines(home, name, place=place)
            for line in found:
                print(line, flush=True)
        time.sleep(_FOLLOW_S)  # noqa: TID251
    return 0


def _log_lines(home: Home, process: str, **asked: int) -> tuple[list[str], int]:
    """What the lab tells of a log; of a lab that is down, or hangs, what lies in the file."""
    try:
        told = _call(home, "clusters", "GET", "/logs", {"process": process, **asked})
    except _UNREACHABLE:
        read = log_files.since if "place" in asked else log_files.tail
        return read(home.logs / f"{process}.log", *asked.values())
    return told["lines"], told["place"]


def reset(home: Home) -> int:
    """Stop the lab and delete its directory."""
    pid = home.supervisor_pid()
    if pid is not None:
        _end(home, pid)
    if not home.path.exists():
        print("There is no lab to delete.")
        return 0
    if not (home.path / "version").exists():
        raise LabError(f"{home.path} is not a lab's directory; nothing was deleted")
    home.delete()
    left = "; what was not the lab's is left" if home.path.exists() else ""
    print(f"Deleted the lab in {home.path}{left}.")
    return 0


def nodes_add(home: Home, count: int, *, cluster: str, instance_type: str) -> int:
    """Add simulated nodes to a cluster."""
    body = {"count": count, "cluster": cluster, "instance_type": instance_type}
    try:
        answer = _call(home, "clusters", "POST", "/nodes", body, timeout_s=60 + count / 100)
    except _UNREACHABLE as error:
        raise LabError("the lab is not running; start it with `ekslab up`") from error
    print(f"Added {answer['added']} node{'' if count == 1 else 's'} to cluster {cluster}.")
    return 0
