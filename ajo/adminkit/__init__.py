"""The base of the admin's pages. This package lies below the apps and imports none of their tables."""
