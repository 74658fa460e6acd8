"""The command line: one file a command. Only this folder parses arguments and prints results."""
