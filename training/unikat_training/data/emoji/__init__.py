"""The emoji set: seven designers' drawings of the same things, labelled with style, category and skin tone."""
