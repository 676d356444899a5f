"""The live channel: what is delivered in-app reaches connected clients at once, over Socket.IO, SSE or long polling."""
