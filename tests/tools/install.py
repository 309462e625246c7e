"""The foreign programs the tests use: found on the PATH, else fetched, else built.

Nothing is skipped for a missing program: what cannot be had ends the run with a sentence.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".tools" / "bin"
KUBECTL_MINOR_LEAST = 28
KUBECTL_VERSION = "v1.34.2"
_DOWNLOAD = "https://dl.k8s.io/release"


class MissingToolError(Exception):
    """A program the tests need cannot be had here; the text says what to do."""


def ensure_all() -> None:
    """Make sure that kubectl and aws are there."""
    BIN.mkdir(parents=True, exist_ok=True)
    ensure_kubectl()
    ensure_aws()


def ensure_kubectl() -> Path:
    """A kubectl of at least 1.28: ours, the one on the PATH, a download, or a build."""
    ours = BIN / "kubectl"
    if _minor(ours) >= KUBECTL_MINOR_LEAST:
        return ours
    found = shutil.which("kubectl")
    if found and _minor(Path(found)) >= KUBECTL_MINOR_LEAST:
        return Path(found)
    if _download_kubectl(ours) or _build_kubectl(ours):
        return ours
    message = (
        f"tests need kubectl >= 1.{KUBECTL_MINOR_LEAST}: none is on the PATH, the download site "
        "cannot be reached, and there is no Go to build it with. Install kubectl or Go."
    )
    raise MissingToolError(message)


def ensure_aws() -> Path:
    """The AWS command line; it comes from PyPI with the development environment."""
    aws = Path(sys.executable).with_name("aws")
    if not aws.exists():
        message = "tests need the AWS command line: run ./dev test, which installs it"
        raise MissingToolError(message)
    return aws


def _minor(kubectl: Path) -> int:
    if not kubectl.exists():
        return -1
    shown = subprocess.run(
        [str(kubectl), "version", "--client", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        minor: str = json.loads(shown.stdout)["clientVersion"]["minor"]
    except (ValueError, KeyError):
        return -1
    return int(minor.rstrip("+"))


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _download_kubectl(target: Path) -> bool:
    url = f"{_DOWNLOAD}/{KUBECTL_VERSION}/bin/{platform.system().lower()}/{_machine()}/kubectl"
    try:
        with urllib.request.urlopen(url + ".sha256", timeout=10) as answer:
            expected = answer.read().decode().strip()
        with urllib.request.urlopen(url, timeout=60) as answer:
            binary = answer.read()
    except (urllib.error.URLError, OSError):
        return False
    if hashlib.sha256(binary).hexdigest() != expected:
        raise MissingToolError(f"the kubectl downloaded from {url} is not what its checksum says")
    target.write_bytes(binary)
    target.chmod(0o755)
    return True


def _build_kubectl(target: Path) -> bool:
    go = shutil.which("go")
    if go is None:
        return False
    print("building kubectl with Go (once, a few minutes)", file=sys.stderr)
    version = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {version}.gitVersion={KUBECTL_VERSION} -X {version}.gitMajor=1"
        f" -X {version}.gitMinor={KUBECTL_VERSION.split('.')[1]}"
    )
    built = subprocess.run(
        [go, "build", "-trimpath", "-ldflags", flags, "-o", str(target), "."],
        cwd=Path(__file__).parent / "kubectl",
        env={**os.environ, "CGO_ENABLED": "0"},
        check=False,
    )
    return built.returncode == 0 and _minor(target) >= KUBECTL_MINOR_LEAST
