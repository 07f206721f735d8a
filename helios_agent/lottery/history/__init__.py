"""The packaged draws: one CSV per game. README.md says where they come from."""
