"""Links between pages lead somewhere, and the commands that pages name can be given."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from relpose_ros.cli.main import load_commands, make_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])

FENCED = re.compile(r"^```.*?^```", re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of the headings, as GitHub makes them, and those that a page sets itself."""
    text = FENCED.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    made = (re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain)
    return frozenset([*made, *re.findall(r'<a id="([^"]+)">', text)])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    text = FENCED.sub("", page.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)}: no heading for #{anchor} in {target.name}"


def commands(page: Path) -> list[str]:
    """`relpose ...` in code, without comments; lines that leave something out are not meant."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    code = "\n".join([*FENCED.findall(text), *re.findall(r"^    .+", text, re.M)])
    lines = (re.sub(r"\s+#.*|\s{3,}.*|\s+&&.*", "", line.strip()) for line in code.splitlines())
    return [line for line in lines if line.startswith("relpose ") and not re.search(r"\.\.\.|[|<>$\[]", line)]


@pytest.fixture(scope="module")
def parser():
    return make_parser(load_commands())


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_commands_can_be_given(page, parser):
    for line in commands(page):
        try:
            parser.parse_args(shlex.split(line)[1:])
        except SystemExit as ended:
            assert ended.code == 0, f"{name(page)}: {line}"
