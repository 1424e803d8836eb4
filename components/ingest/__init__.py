"""Raw logs of a day -> typed, de-duplicated events and a quarantine; every raw row is accounted for."""
