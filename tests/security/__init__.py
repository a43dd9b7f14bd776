"""What an intruder would try: at the door, with stolen tokens, with hostile agents, through our own requests."""
