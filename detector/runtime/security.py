"""How to reach Kafka and Redis securely: their sections of the configuration in the words of each client.

Faust's own defaults are traps: SASL without an explicit SSL context is sent in plain text, and
`SSLCredentials()` raises. So the protocol is always named, and TLS always has a context.
"""

from __future__ import annotations

import ssl
from typing import Any

import faust

from detector.config import Kafka, Store
from detector.errors import ConfigError


def client_arguments(kafka: Kafka) -> dict[str, Any]:
    """Return the arguments of aiokafka's clients, and of kafka-python's, which has the same words."""
    said: dict[str, Any] = {"security_protocol": kafka.security.upper(), "ssl_context": _ssl_context(kafka)}
    if kafka.security.startswith("sasl"):
        if not (kafka.sasl_username and kafka.sasl_password):
            raise ConfigError("kafka.sasl_username", f"{kafka.security} needs a user name and a password")
        said |= {"sasl_mechanism": kafka.sasl_mechanism}
        said |= {"sasl_plain_username": kafka.sasl_username, "sasl_plain_password": kafka.sasl_password}
    return said


def faust_credentials(kafka: Kafka) -> Any:
    """Return Faust's broker credentials; None for plain text."""
    if kafka.security == "plaintext":
        return None
    context = _ssl_context(kafka)
    if kafka.security == "ssl":
        return faust.SSLCredentials(context=context)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password,
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )


def store_arguments(store: Store) -> dict[str, Any]:
    """Return the arguments of `RedisStore` besides the url; raise ConfigError for certificates that cannot be read."""
    if store.url.startswith("rediss"):
        _certificates("store", store.ca_file, store.cert_file, store.key_file)
    return {
        "timeout_seconds": store.timeout_ms / 1000,
        "prefix": store.prefix,
        "username": store.username,
        "password": store.password,
        "ssl_ca_certs": store.ca_file,
        "ssl_certfile": store.cert_file,
        "ssl_keyfile": store.key_file,
    }


def _ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    if not kafka.security.endswith("ssl"):
        return None
    return _certificates("kafka", kafka.ca_file, kafka.cert_file, kafka.key_file)


def _certificates(section: str, ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if cert_file:
            context.load_cert_chain(cert_file, key_file or None)
    except OSError as error:
        raise ConfigError(f"{section}.ca_file", f"certificates cannot be read: {error}") from None
    return context
