"""The parts that all endpoints share: parameters, fields, problems, keyset pages, freshness, throttles, OpenAPI."""
