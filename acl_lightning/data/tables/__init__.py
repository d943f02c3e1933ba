"""Tables of the user: readers, checks, labels, and rows that are cached by content."""
