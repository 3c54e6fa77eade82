"""A client of vae-serve: sends pictures and arrays, gives arrays. It needs no torch."""
