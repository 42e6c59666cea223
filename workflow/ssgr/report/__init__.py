"""The report: one self-contained page that redraws the paper's tables and figures for a run.

``gather`` collects the tables that a config asks for; ``comparison`` says what the scores amount
to and ``pool_statistics`` what is known of the pool; ``charts`` and ``pool_charts`` draw them, and
``page`` sets the page.
``write`` does all of it. This file imports nothing: the Snakefile imports a part of the package.
"""
