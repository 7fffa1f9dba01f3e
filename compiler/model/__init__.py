"""The objects as typed values, and which of them are served."""
