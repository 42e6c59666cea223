"""How far the grading methods agree over a pool, and what each would select.

``verdicts`` judges by every method, ``rates`` compares the verdicts, ``selections`` compares the
selected responses, ``gather`` reads the tables of a run and ``page`` writes the HTML page.
"""
