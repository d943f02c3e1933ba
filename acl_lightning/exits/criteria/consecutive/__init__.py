"""Criteria that count consecutive exits: patience, PCEE and F-PABEE."""
