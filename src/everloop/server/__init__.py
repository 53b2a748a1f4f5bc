"""The hub's face: room operations over HTTP, uploads, health. Behaviour stays in the rooms."""
