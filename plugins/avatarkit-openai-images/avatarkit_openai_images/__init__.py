"""OpenAI's image models, and servers that speak their API, as an avatarkit editor."""
