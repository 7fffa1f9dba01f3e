"""The names that the Kubernetes API knows: kinds, versions and fields."""
