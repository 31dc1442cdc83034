"""Small synthetic corpora in exactly the on-disk formats of the real ones: each module has `synthesise(root, seed)`."""
