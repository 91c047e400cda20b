"""A WSGI layer before Django: it answers plain reads with the bytes that Redis holds or PostgreSQL writes.

What it answers, Django would answer byte for byte the same (tests/edge). Django answers everything else: credentials, a
body, parameters of other forms, a host or a format that Django refuses, what is not fresh enough or not in the tables,
a client that asked too often.
"""

from ajo.edge.application import Edge
from ajo.edge.request_bodies import RequestBodies

__all__ = ["Edge", "RequestBodies"]
