"""The demo: a year of real flights from New York, played through the real platform over HTTP.

Plays the outside world only: it sends data, requests and labels, asks the loop to look, and reads back what was kept.
Everything the loop does, it does by itself.
"""
