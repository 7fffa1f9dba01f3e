"""Measurements: generated inputs, kube-proxy's layout as the reference, one table."""
