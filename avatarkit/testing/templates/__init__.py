"""Where ``avatarkit plugins new`` begins: one working part per role, with ``Mine`` and ``"mine"`` for the new names."""
