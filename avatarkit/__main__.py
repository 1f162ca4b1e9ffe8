"""``python -m avatarkit``."""

from avatarkit.cli.main import main

main()
