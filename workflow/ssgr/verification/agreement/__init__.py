"""The audit of the grading: every method over a pool, and what would change under each.

``verdicts`` has every method judge; ``agreement`` compares what they say and ``selections`` what
would be selected; ``gather`` finds the tables of a run, and ``page`` sets the page.
"""
