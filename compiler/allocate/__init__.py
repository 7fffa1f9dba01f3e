"""What the API server and a balancer give to Services, kept in a lock file beside the manifests."""
