"""The staff's admin site and its front page."""
