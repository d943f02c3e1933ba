"""Exit criteria: the certainty of every exit, one criterion per file, and the registry of their names."""
