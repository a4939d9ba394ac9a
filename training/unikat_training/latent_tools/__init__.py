"""What latents can be used for besides drawing: directions to move along, ways between images, styles to mix."""
