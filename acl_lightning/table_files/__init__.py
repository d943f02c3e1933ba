"""Readers of table files (CSV, TSV, JSON Lines, Parquet, texts), in bounded memory and without torch."""
