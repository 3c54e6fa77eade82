"""Reports: what a model shows at a validation, the pictures that a run keeps, and its page."""
