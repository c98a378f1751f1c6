//! The embedded broker: nodes, links, in-memory queues and a server for AMQP.
