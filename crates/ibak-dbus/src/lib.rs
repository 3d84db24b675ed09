//! The wire contract of ibak on D-Bus: names, words, errors, proxies, a mirror.
