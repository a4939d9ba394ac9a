"""From fifty pictures: trained from nothing, and from a model that has never seen their kind, for the same time."""
