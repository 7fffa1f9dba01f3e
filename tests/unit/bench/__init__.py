"""The measurements: what they make of figures."""
