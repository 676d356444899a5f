"""For services that send events, in Python: over HTTP to a gateway, or straight to Kafka; async and sync.

```python
async with AsyncClient.over_http("https://notifications.example.com", "ntf_…") as client:
    await client.send(Event("order.shipped", "alice", {"order_id": "1001"}, idempotency_key="order-1001-shipped"))
```

Importing it imports nothing of the services: what a way to send needs is imported when it is chosen.
"""

from pipeline.client.client import AsyncClient
from pipeline.client.event import Event, Receipt
from pipeline.client.sync import Client
from pipeline.errors import ClientError, EventRefused, NotAccepted

__all__ = ["AsyncClient", "Client", "ClientError", "Event", "EventRefused", "NotAccepted", "Receipt"]
