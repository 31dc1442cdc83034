"""Masks over log-mel features: boolean arrays of shape (frames, bins), True where a point is kept."""
