"""A CA, and what it signs, in a folder."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Certificates:
    """Files of a CA: ``ca.crt``; servers and clients as they are asked for."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._authority = trustme.CA()
        self.ca = folder / f"{name}.crt"
        self._folder = folder
        self._authority.cert_pem.write_to_path(self.ca)

    def server(self, *names: str) -> ssl.SSLContext:
        """A server that has these names and takes clients of the CA, and others."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client(self, user: str) -> tuple[Path, Path]:
        """A client's certificate and key."""
        issued = self._authority.issue_cert(common_name=user)
        certificate, key = self._folder / f"{user}.crt", self._folder / f"{user}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key
