"""What can be told of a run from its bag: `recording` reads it, `replay` asks a policy again, `score` compares."""
