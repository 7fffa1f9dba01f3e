"""What the agent answers over HTTP: its health, its measures, health check node ports."""
