"""Kubernetes objects to typed rule programs."""
