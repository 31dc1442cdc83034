"""Batched decoding of each recogniser."""
