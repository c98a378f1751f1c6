//! AMQP bytes to typed values, performatives and messages, and back; knows no state.
