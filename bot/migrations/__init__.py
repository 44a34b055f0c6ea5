"""How the tables came to be, one file per step. Applied by `mlops-bot migrate`; see bot.store.schema."""
