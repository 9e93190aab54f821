"""The Open LLM Leaderboard, scraped, and a made-up one that behaves like it."""
