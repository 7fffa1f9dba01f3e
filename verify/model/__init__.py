"""Rules as conditions and actions."""
