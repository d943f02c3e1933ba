"""Contrastive terms, and the parts that they share: masked loss, teachers, memory queue."""
