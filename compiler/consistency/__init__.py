"""What objects say together: who claims what, what fits what, what has no say."""
