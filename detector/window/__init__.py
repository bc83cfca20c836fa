"""What an account did lately, for a whole batch of accounts at once.

tiles      sliding windows as stamped rings of tiles
distinct   how many different addresses, clients, end users: bitmaps; how concentrated the templates are
mixture    which templates it keeps coming back to: what equal choices of them share
clock      what event time it is in a partition, and which events are late or ahead
recent     which event ids were seen lately
columns    the numbers that signals read
activity   the row that is kept per account: adding events to it, reading it
rest       the row at rest: a few hundred bytes
"""
