"""Search by latents: a folder of embeddings, a distance between them, and nearest neighbours."""
