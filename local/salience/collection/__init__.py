"""From long recordings to a corpus of clips: each step of the collection, and what is measured of it.

Times inside this package are samples at 16 kHz, counted from the start of the
recording; a span is (first sample, one after the last).  Tables hold seconds.
"""
