"""Pictures and films for people: contact sheets, labelled rows, mp4."""
