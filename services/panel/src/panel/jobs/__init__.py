"""Long work: judging a tool, sitting an exam, keeping up with the judge. Claimed as jobs, repeated after a crash."""
