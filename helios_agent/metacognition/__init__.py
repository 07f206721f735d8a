"""What Helios knows about itself: signals measured from journaled facts, and what they say."""
