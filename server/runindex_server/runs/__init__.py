"""L3: what the methods of RunIndex mean, as functions of a transaction. Knows neither gRPC nor an engine."""
