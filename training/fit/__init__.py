"""Training: the loop, its objectives, its optimizer, and the classical fits."""
