"""Deployment: `charter up` and what it starts, from templates to supervision."""
