//! Typed links over AMQP: the driver, the message, one seam for every protocol.
