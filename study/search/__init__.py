"""One Optuna study a cell: what to try next, what was found. Knows no Ray and no torch."""
