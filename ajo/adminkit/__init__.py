"""What every page of the staff's admin shares. It lies below the apps and knows none of their tables."""
