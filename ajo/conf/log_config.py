"""Django's LOGGING: every record is a line on stderr, by one handler."""

from typing import Any, Final

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def logging_config(level: str) -> dict[str, Any]:
    """Return the settings of `logging` for one of LEVELS; INFO for any other, which ajo/conf/checks.py refuses."""
    level = level if level in LEVELS else "INFO"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"refused_hosts": {"()": "ajo.ops.refused_hosts.RefusedHosts"}},
        "formatters": {"line": {"()": "ajo.ops.logs.formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Their records reach the root handler; Django's own would mail administrators that nobody configured.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # A request for another host gets a 400; a traceback for each would let anybody fill the log.
            "django.security.DisallowedHost": {"filters": ["refused_hosts"]},
            "ajo.access": {"level": "INFO"},  # switched on by ACCESS_LOG, whatever LOG_LEVEL says
            "axes": {"level": "ERROR"},  # ajo/ops/logins.py says it without masks
            "psycopg": {"level": level},  # has a level of its own otherwise
            # The pool logs every connection that it lends: three lines for each request.
            "psycopg.pool": {"level": "WARNING" if level == "INFO" else level},
        },
    }
