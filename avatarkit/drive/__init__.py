"""Drive an avatar: camera paths, motions, films."""
