"""The stage commands: each reads files, calls one typed function of the package, writes files.

A command is a pydantic model, so that its flags, their checks and its ``--help`` are one
definition, and a nested spec is passed as JSON (``--sampling '{"n": 4}'``) or flag by flag
(``--sampling.n 4``). Paths come from the caller: Snakemake, or a person.
"""
