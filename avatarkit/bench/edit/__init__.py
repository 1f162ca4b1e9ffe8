"""``avatarkit bench edit``: how well edits do what was asked, on a subject whose every edit can be drawn again as truth."""
