"""The servers, by name."""

from tests.servers import kafka_server, own_name, redis_server

__all__ = ["kafka_server", "own_name", "redis_server"]
