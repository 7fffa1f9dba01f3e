"""What svcc works with for single Services, for people to look at."""
