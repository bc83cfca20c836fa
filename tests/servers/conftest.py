"""The servers, by name."""

from tests.servers import kafka_server, own_name

__all__ = ["kafka_server", "own_name"]
