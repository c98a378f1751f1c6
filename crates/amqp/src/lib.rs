//! AMQP peers without I/O: connection, session, link, delivery, SASL, both roles.
