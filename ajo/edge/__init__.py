"""Before Django: what is asked for plainly is answered with the bytes that Redis holds or PostgreSQL writes.

What is answered here, Django would answer byte for byte the same (tests/edge/test_application.py). Everything else steps aside:
credentials, a body, parameters of other forms, a host or a format that Django refuses, what is not fresh enough or not
in the tables, a client that asked too often.
"""

from ajo.edge.application import Edge
from ajo.edge.request_bodies import Bodies

__all__ = ["Bodies", "Edge"]
