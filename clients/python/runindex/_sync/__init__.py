"""The client without asyncio, made of `runindex._async` by `scripts/gen_sync_client.py`."""
