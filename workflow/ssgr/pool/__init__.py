"""The pool: responses sampled once, and their grades, shared by every experiment on its folder.

A shard is a range of a source's problems. It lies in *parts*: the first sampling of it, and later
files with only what a stricter demand needed beyond. A part never changes once it has its name; its
receipt beside it says what is in it and how it was made. `manifest.json` of each (model, source,
sampling) says what all its parts have in common, and two that disagree never meet.
"""
