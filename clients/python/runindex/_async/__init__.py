"""The client for asyncio, written by hand. `runindex._sync` is made of it by `scripts/gen_sync_client.py`."""
