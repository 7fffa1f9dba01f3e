"""An API server for tests: list and watch over TLS, and it can misbehave."""
