"""Where the stages meet the world: live over Kafka, replayed from files, as a demo, or evaluated."""
