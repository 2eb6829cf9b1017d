"""The questions: one sweep a file, declarations only. Imports nothing of study or models."""
