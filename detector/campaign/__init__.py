"""From links to campaigns: what accounts share, how much it says, who belongs together, since when."""
