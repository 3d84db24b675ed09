//! The ibak daemon: event loop, sources, executor, bus server.
