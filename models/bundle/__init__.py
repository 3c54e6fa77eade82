"""A bundle: the folder of a trained model, and all that is said about it.

loading         load_bundle, Bundle
reading         its files, checked, and what they say of the model; imports no torch
optional_files  those that it may have: good_pictures, examples, latent_map
saving          save_bundle
schema          fields of the JSON files; imports no torch
parity          stored outputs that a loaded model must compute
diffusers       a model that diffusers saved, read as one of this project
repository      a folder of bundles
"""
