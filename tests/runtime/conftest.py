"""The servers, by name."""

from tests.servers import as_users_run_it, guarded_redis, kafka_server, own_name, redis_server

__all__ = ["as_users_run_it", "guarded_redis", "kafka_server", "own_name", "redis_server"]
