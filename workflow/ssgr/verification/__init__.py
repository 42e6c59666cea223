"""Verification: how far the grading can be trusted."""
