"""The bots: ordinary Matrix users of application-service registrations, each its own process."""
