"""The command line: parse, call, print. The only room that prints."""
