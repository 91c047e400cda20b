"""`make run`: PostgreSQL, Redis, the sandbox chain, web, Celery worker and beat, started and stopped together.

`postgres` and `redis` are also what the tests run on.
"""

from ajo.devstack.postgres_server import postgres
from ajo.devstack.process import StackError
from ajo.devstack.redis_server import redis

__all__ = ["StackError", "postgres", "redis"]
