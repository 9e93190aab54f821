"""The Open LLM Leaderboard, scraped, and a simulated one that behaves like it."""
