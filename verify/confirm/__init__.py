"""From a solver's answer to a packet that shows it."""
