"""When this, if that, then do: triggers, gates, the life of a challenger, promotion and rollback, run durably.

What is asked of it from outside is `LoopStore`; `runner` does the work in a worker and is the one door to DBOS.
"""
