"""The stores under test, by name."""

from tests.servers import own_name, redis_server, valkey_server

__all__ = ["own_name", "redis_server", "valkey_server"]
