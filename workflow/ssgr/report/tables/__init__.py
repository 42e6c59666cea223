"""Experiments: each table and figure of the paper, or of a user, from the points it names.

``conditions`` says what is compared and ``results`` reads what was measured; ``numbers`` estimates
and compares, ``cells`` is the table of all that, ``published`` stands the paper's numbers beside;
``layout`` and ``notes`` set a table, ``charts`` draw it, ``latex`` and ``exports`` write it.
The report shows what comes of it; only ``charts`` and ``pictures``, which are imported when a chart
is drawn, import the report's style. ``check`` is for the start of a run, and light.
"""
