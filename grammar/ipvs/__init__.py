"""Sets and virtual servers: text to typed values and back."""
