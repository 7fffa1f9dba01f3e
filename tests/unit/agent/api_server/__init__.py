"""The API server as a source."""
