"""Exit criteria: the certainty of every exit, one criterion per file, and their registry."""
