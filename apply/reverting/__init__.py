"""Back to what was loaded before, unless somebody confirms what is loaded now."""
