"""Features of a day into Feast, offline and online, and the lookups that read them."""
