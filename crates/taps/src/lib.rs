//! Transport services (RFC 9621 to 9623): properties, candidates, racing, connections, framers.
