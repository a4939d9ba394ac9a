"""Series: the same subjects, in one style and palette, as banners of many sizes. Pure functions, no I/O."""
