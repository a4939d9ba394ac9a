"""`unikat top`: everything that is going on, on one screen, again and again."""
