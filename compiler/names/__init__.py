"""What Services are called: the zones of a cluster."""
