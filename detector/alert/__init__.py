"""The life of an alert: raise at / clear at, cooldown, dedup, inhibition, shadow mode."""
