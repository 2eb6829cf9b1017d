"""What people look at: a run as a page, as text, as figures, and for other tools. Reads tables; never Ray or torch."""
