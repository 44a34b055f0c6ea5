"""What meets the outside: parsers of what people and systems send, diagnostics, actions and backends, one file each."""
