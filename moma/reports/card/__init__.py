"""The data card: one page of HTML about a log, with nothing outside of itself."""
