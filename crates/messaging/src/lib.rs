//! The qpid.messaging face: Connection, Session, Sender, Receiver and address strings.
