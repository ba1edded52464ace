"""What runs hold: values under keys, events in streams, state cells, JSON documents."""
