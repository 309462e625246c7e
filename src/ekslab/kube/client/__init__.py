"""The one door to the API: clients by transport, informers."""
