"""A client of vae-serve: sends pictures and arrays, answers arrays. It needs no torch."""
