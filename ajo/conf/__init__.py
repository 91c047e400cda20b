"""The environment: variables, their checks, addresses of servers, and secrets that no line may show."""
