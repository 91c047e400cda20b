"""What every endpoint shares: forms, problem responses, keyset pages, freshness, throttles, OpenAPI."""
