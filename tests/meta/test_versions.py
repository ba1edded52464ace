"""The product has one version: whatever names it beside the server names the same."""

import re
from typing import Final

import pytest

from runindex_server import __version__
from tests.support.repository import ROOT

OF_NPM: Final = r'"name": "@runindex/client",\s+"version": "([^"]+)"'
OF_MAVEN: Final = r"<artifactId>runindex-client</artifactId>\s+<version>([^<]+)</version>"

PLACES: Final = {
    "clients/java/README.md": (OF_MAVEN, 1),
    "clients/java/pom.xml": (OF_MAVEN, 1),
    "clients/typescript/README.md": (r"runindex-client-(\S+)\.tgz", 1),
    "clients/typescript/package-lock.json": (OF_NPM, 2),
    "clients/typescript/package.json": (OF_NPM, 1),
}
"""How each file names the version, and how often."""


@pytest.mark.parametrize("name", PLACES)
def test_clients_have_the_version_of_the_server(name: str) -> None:
    pattern, times = PLACES[name]
    assert re.findall(pattern, (ROOT / name).read_text()) == [__version__] * times
