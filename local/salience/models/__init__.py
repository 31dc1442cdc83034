"""The networks, and how they are loaded and saved."""
