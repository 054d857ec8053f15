"""Many runs from one command: what they are, where they run, how far they are; and searches over configurations."""
