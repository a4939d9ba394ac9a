"""From a picture to a recipe: latent and conditions whose drawing comes near it."""
