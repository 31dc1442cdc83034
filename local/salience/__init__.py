"""Salience: which time-frequency regions of speech carry an accent, or the words."""
