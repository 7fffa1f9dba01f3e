"""Every kind of damage and harmless change, and what the verifier says of each.

``python -m tests.damages --help``.
"""
