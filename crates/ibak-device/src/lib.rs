//! How to reach an iPhone: usbmuxd, lockdown with pinned TLS, signals, pairing.
