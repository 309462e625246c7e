"""The reference names what there is: commands, options, EKS operations, served resources."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ekslab.cli.commands import cli
from ekslab.cloud.eks.service import OPERATIONS
from ekslab.cloud.gateway.routing import service_model
from ekslab.kube.api.schema import catalog

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def reference(page: str) -> str:
    return (DOCS / "reference" / page).read_text()


def commands(group: click.Group, prefix: str = "ekslab") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands(cli)]
)
def test_every_command_has_a_section_with_all_its_options(
    name: str, command: click.Command
) -> None:
    text = section(reference("cli.md"), name)
    assert text, f"docs/reference/cli.md has no section {name!r}"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            missing = [word for word in parameter.opts if not re.search(rf"`{word}[` ]", text)]
        else:
            missing = [] if f"`{parameter.human_readable_name}`" in text else [parameter.name]
        assert not missing, f"{name}: {missing} of {parameter} is not documented"


def test_no_section_outlives_its_command() -> None:
    known = {name for name, _ in commands(cli)}
    told = set(re.findall(r"^## (ekslab .+)$", reference("cli.md"), re.MULTILINE))
    assert told == known


def test_every_eks_operation_is_named_as_served_or_not_yet() -> None:
    text = reference("aws.md")
    told_served = set(re.findall(r"\w+", text.partition("\nServed:")[2].partition("\n\n")[0]))
    told_missing = set(re.findall(r"\w+", text.partition("\nNot yet:")[2].partition("\n\n")[0]))
    model = service_model("eks")
    assert model is not None
    assert told_served == set(OPERATIONS)
    assert told_missing == set(model.operation_names) - set(OPERATIONS)


@pytest.mark.parametrize("version", catalog.SUPPORTED_VERSIONS)
def test_every_group_and_resource_that_is_served_is_listed(version: str) -> None:
    text = reference("kubernetes-api.md")
    for info in catalog.load(version).resources.values():
        resource = info.resource
        group_version = f"{resource.group}/{resource.version}".removeprefix("/")
        assert f"## {group_version}\n" in text, group_version
        assert f"`{resource.plural}`" in section(text, group_version), resource


def test_generated_pages_are_as_the_generator_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import make_reference

    for page, made in make_reference.pages().items():
        told = (ROOT / page).read_text()
        assert told == made, f"{page} is stale: python tools/make_reference.py"


def anchor(heading: str) -> str:
    """The anchor GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if re.match(r"\w+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if fragment and file.suffix == ".md":
            headings = {anchor(text) for text in _HEADING.findall(file.read_text())}
            assert fragment in headings, f"{page.name} links to {target}"
