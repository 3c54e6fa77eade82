"""Benchmarks: speeds as ratios to a floor, bare library code measured beside the project.

python -m benchmarks                   all of it, in about a minute
python -m benchmarks scoring           one part: scoring, media or serving
"""
