"""What is judged of an apply before it is one."""
