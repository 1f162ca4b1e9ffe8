"""A conditional patch discriminator with hinge losses for avatarkit."""
