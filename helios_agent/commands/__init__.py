"""Groups of commands, and what all commands share. They parse, call and print."""
