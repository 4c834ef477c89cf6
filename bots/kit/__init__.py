"""What every bot is made of: configuration, client, sync loop, outgoing queue, notices, commands."""
