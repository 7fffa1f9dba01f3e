"""A server with certificates, and a kubeconfig for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from svcc.agent.api_server.access import Access
from tests.support.api_server.certificates import Certificates
from tests.support.api_server.server import ApiServer
from tests.unit.agent.api_server.following import access_to


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ApiServer]:
    made = ApiServer(certificates.server("127.0.0.1", "api.example"))
    yield made
    made.close()


@pytest.fixture
def kubeconfig(server: ApiServer, certificates: Certificates, tmp_path: Path) -> Path:
    return write_kubeconfig(
        tmp_path / "kubeconfig",
        {"server": server.url, "certificate-authority": str(certificates.ca)},
        {"token": "right"},
    )


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """A kubeconfig of one context."""
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "there",
        "contexts": [{"name": "there", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(value))
    return path


@pytest.fixture
def access(server: ApiServer, certificates: Certificates) -> Access:
    return access_to(server, certificates.ca)
