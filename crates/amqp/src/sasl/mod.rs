//! SASL mechanisms (RFC 4422) as exchanges without I/O.
