"""People's own pictures: folders of folders, tables of labels, StyleGAN's archives, or no labels at all."""
