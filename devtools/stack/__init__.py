"""`make run`: PostgreSQL, Redis, the sandbox chain, web, Celery worker and beat, started and stopped together.

The tests run on `postgres` and `redis` too.
"""

from devtools.stack.postgres_server import postgres
from devtools.stack.process import StackError
from devtools.stack.redis_server import redis

__all__ = ["StackError", "postgres", "redis"]
