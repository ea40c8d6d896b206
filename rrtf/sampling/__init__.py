"""Where candidates come from: one Generator protocol, several sources."""
