"""Things to wear, made by code: what `add` puts on a head without an image editor."""
