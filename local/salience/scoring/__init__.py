"""Alignment, word and character error rates, bootstrap, classification scores, result rows."""
