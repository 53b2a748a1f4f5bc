"""The version of this package. A file of its own, so that no room imports the front door to know it."""

__version__ = "0.1.0"
