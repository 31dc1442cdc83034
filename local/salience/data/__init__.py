"""Tables, data directories, validation, transforms, text normalisers and tokens."""
