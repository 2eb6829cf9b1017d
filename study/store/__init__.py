"""A run's files, wherever they lie: tables apart, which are `study.records`. Knows no Ray."""
