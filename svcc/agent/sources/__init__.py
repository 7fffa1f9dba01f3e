"""Where objects come from: files that are watched, or an API server."""
