"""Plots: what a pipeline measured as series of points, drawn with Vega-Lite, and its images side by side.

Source: dvc 3.67 (`repo/plots`, `render`), dvc-render 1.0: the same definitions, the same JSON. Templates and page are
our own.
"""
