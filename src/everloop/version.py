"""The version of this package, and that of DVC whose behaviour it matches.

A file of its own, so that no room imports the front door to know it.
"""

__version__ = "0.1.0"

# What `dvc --version` says where `dvc` is a link to `ever`: editors and CI ask for it first.
DVC_VERSION = "3.67.1"
