"""L4: keeps several processes going that serve one store. Knows neither gRPC nor LMDB, nor what a run is."""
