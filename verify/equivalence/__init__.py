"""Do two rule sets do the same to every packet?"""
