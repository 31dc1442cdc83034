"""One module a corpus, each with the same verbs.

    fetch(target, archive=None)  unpack the user's archive, or download what is public, below `target`
    find_root(folder)            the corpus root in a folder the user gave, or an error that says what is missing
    utterances(root, ...)        iterate over the corpus as records, in a fixed order

`synthetic` has a module for each that writes a small one in exactly the
on-disk format.  Nothing here writes into a corpus that the user gave.
"""
