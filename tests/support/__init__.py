"""What the tests share: a server to call, a clock to turn, and calls that check their answers."""
