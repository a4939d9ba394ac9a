"""The gallery: a site for people, and a client of the service: it streams drawings, keeps favourites and albums."""
