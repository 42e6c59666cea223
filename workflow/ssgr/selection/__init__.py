"""Selection: from graded responses to a calibration set (section 4 of the paper)."""
