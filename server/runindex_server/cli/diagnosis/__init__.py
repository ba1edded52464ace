"""What `doctor` looks at: a function for each thing, none of which changes anything."""
