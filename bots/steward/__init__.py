"""The steward: tells people why something was refused, and answers what they may do."""
