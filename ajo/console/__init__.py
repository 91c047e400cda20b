"""The admin site and its front page."""
