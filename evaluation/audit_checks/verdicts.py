"""How a check of the audit can end, in the words that files and people read; nothing heavy is imported."""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "not applicable"
