"""Random rule sets and packets: the model of netfilter against the running kernel.

``python -m tests.fuzz --help``.
"""
