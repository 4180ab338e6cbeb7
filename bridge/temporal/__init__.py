"""Everything that speaks to Temporal: client, workers, search attributes, schedules."""
