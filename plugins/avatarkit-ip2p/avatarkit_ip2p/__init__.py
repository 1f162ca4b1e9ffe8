"""InstructPix2Pix as an avatarkit image editor."""
