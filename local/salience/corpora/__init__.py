"""One module a corpus, each with the same verbs.

    fetch(root, archive=None)    unpack the user's archive, or download what is public, into `root`
    utterances(root, ...)        iterate over the corpus as records, in a fixed order
    synthesise(root, seed)       write a small synthetic corpus in exactly the on-disk format

Nothing here writes into a corpus that the user gave.
"""
