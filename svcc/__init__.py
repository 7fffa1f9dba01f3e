"""svcc: compile, prove and load the kernel rules of Kubernetes Services."""

__version__ = "0.1.0"
