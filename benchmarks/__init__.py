"""Benchmarks: speeds as ratios to a floor, bare library code measured beside the project.

python -m benchmarks                   all of it
python -m benchmarks serving --quick   one part: scoring, media or serving
"""
