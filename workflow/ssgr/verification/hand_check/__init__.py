"""The hand check: a person labels a random sample of verdicts, which gives the error rates.

``population`` reads the verdicts, ``sample`` draws some, ``page`` writes the HTML file on which a
person labels them, ``error_rates`` reads the labels and ``intervals`` gives exact intervals.
"""
