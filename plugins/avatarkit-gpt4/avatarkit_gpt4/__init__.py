"""OpenAI models, and servers that speak their API, as an avatarkit refiner."""
