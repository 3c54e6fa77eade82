"""Speeds as ratios to a floor that is measured beside them; no result here passes or fails.

python -m benchmarks                   all of it, in about a minute
python -m benchmarks scoring           one part: scoring, media or serving
"""
