"""The commands of the console, `hybrid COMMAND …`: one file a command, in which a function of the file's name starts it.

A command's function takes its arguments (by default those of sys.argv) and ends the process.
"""
