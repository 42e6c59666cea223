"""The hand check: how often is a verdict wrong, as a person sees it?

Every number of the project rests on the grader, and only a person can say how far to trust it.
``population`` finds the verdicts, ``sample`` draws some at random, ``page`` sets them in one HTML
file on which a person labels them, ``outcome`` reads the labels, and ``intervals`` says what they
prove.
"""
