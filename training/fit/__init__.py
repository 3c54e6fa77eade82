"""Training itself: the loop, its objectives and its optimizer."""
