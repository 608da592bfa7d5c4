"""The certificate that our doors show, read again when it is renewed.

In: where certificate and key are. Out: what uvicorn and grpcio want of them. Never: a key in a message; a renewal
that is half written taken for a new certificate (the old one is shown until both files fit).
"""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int], ...]  # when each file was changed, and its size


@dataclass(frozen=True, slots=True)
class Tls:
    """certificate: PEM, with those between it and its root. key: PEM, without a passphrase."""

    certificate: Path
    key: Path

    def trouble(self) -> str:
        """What is wrong with the two; empty when they are good."""
        try:
            self.context()
        except (OSError, ValueError) as error:
            return _said(self, error)
        return ""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 and later. Raises OSError (ssl.SSLError is one) or ValueError."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.certificate, self.key, password=_none)
        return made

    def stamp(self) -> Stamp:
        """Changes when one of the files does; empty where one cannot be looked at."""
        try:
            seen = [file.stat() for file in (self.certificate, self.key)]
        except OSError:
            return ()
        return tuple((one.st_mtime_ns, one.st_size) for one in seen)


class Shown:
    """What is shown, looked for anew at each handshake. Raises as `Tls.context` does, when it is made.

    context: for a server that takes one. pair: key and certificate as they stand in the files.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp = tls.stamp()
        self._lock = threading.Lock()
        self._now = tls.context()
        self.pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        self.context = tls.context()
        self.context.sni_callback = self._at_handshake

    def renewed(self) -> tuple[bytes, bytes]:
        """The pair, once the files were looked at."""
        self.renew()
        return self.pair

    def _at_handshake(self, sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        self.renew()
        sock.context = self._now

    def renew(self) -> bool:
        """Whether others than before are shown from now on."""
        with self._lock:
            stamp = self._tls.stamp()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            try:
                self._now = self._tls.context()
                self.pair = self._tls.key.read_bytes(), self._tls.certificate.read_bytes()
            except (OSError, ValueError) as error:
                log.error("the certificate that was shown before stays: %s", _said(self._tls, error))
                return False
        log.info("a new certificate is shown: %s", self._tls.certificate)
        return True


def _none() -> str:
    raise ValueError("a key without a passphrase was expected")


def _said(tls: Tls, error: Exception) -> str:
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return (
        f"{tls.certificate} and {tls.key}: {str(why).lower().replace('_', ' ')}; expected PEM files that fit"
    )
