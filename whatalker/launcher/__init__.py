"""Behind scripts/run: one instance of everything, prepared, supervised and stopped together; its one rule: nothing outlives it."""
