"""The commands of the console: one file a command."""
