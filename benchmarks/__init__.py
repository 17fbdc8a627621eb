"""Scripts that measure; each prints its figures and says what it could not measure."""
