"""How to reach Kafka securely, said once and translated for the three clients.

Faust's own defaults are traps: SASL without an explicit SSL context is sent in plain text, and
`SSLCredentials()` raises. So the protocol is always named, and TLS always has a context.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Literal

import faust

from detector.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Security:
    """Protocol and credentials of the Kafka clients. `ca_file` None: the system's authorities."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would only fail later."""
        if self.protocol.startswith("SASL") and not (self.username and self.password):
            raise ConfigError("kafka.username", f"{self.protocol} needs a user name and a password")

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context that verifies the brokers; None where there is no TLS."""
        if not self.protocol.endswith("SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file)
        except OSError as error:
            raise ConfigError("kafka.ca_file", str(error)) from None
        return context

    def aiokafka(self) -> dict[str, Any]:
        """Return the arguments of aiokafka's clients."""
        said: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context()}
        if self.protocol.startswith("SASL"):
            said |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            said |= {"sasl_plain_password": self.password}
        return said

    def kafka_python(self) -> dict[str, Any]:
        """Return the arguments of kafka-python's clients: the same words."""
        return self.aiokafka()

    def faust(self) -> Any:
        """Return Faust's broker credentials; None for plain text."""
        if self.protocol == "PLAINTEXT":
            return None
        if self.protocol == "SSL":
            return faust.SSLCredentials(context=self.ssl_context())
        return faust.SASLCredentials(
            username=self.username, password=self.password, mechanism=self.mechanism, ssl_context=self.ssl_context()
        )
