"""The Stellar RPC: JSON-RPC over HTTP, the client's calls, the pool of nodes, and the errors that they raise."""
