"""How a derivative comes about: its derivation in three styles, every line of which is checked with numbers."""
