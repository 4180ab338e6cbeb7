"""iii-temporal: the iii worker protocol, with every durable promise kept by Temporal."""
