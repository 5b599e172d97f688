"""Thin jobs: ids in, open transactions, call services; what they carry lives in rows, never in their arguments."""
