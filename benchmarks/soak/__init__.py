"""Hours of mixed work: does anything grow?"""
