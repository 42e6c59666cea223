"""What leaves a run: model cards, exported calibration sets, archives."""
