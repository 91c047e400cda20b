"""The environment: variables, their checks, addresses of servers, and the redaction of secrets."""
