//! What a program does about what happens.

use crate::Event;

/// What a handler has the container do by itself.
#[doc(alias = "MessagingHandler")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Messages that a receiver takes ahead of being handled; 10 by default. With 0 credit is the program's
    /// ([`Receiver::flow`](crate::Receiver::flow)).
    pub prefetch: u32,
    /// Whether a message is accepted behind [`Handler::on_message`], unless it has an outcome by then. It is by default.
    /// Messages that are here together are accepted together, behind the last of them, and 64 at most. On an exactly-once link
    /// that has come to an acceptor a message is accepted before it is handled, since one that is handled and not accepted when
    /// the connection is lost comes again; another outcome that is given then counts as long as its sender has not settled it.
    pub auto_accept: bool,
    /// Whether what was sent is settled once the peer has told its outcome. It is by default; otherwise
    /// [`Delivery::settle`](crate::Delivery::settle) does it. Links take it from their handlers as they are made.
    pub auto_settle: bool,
    /// Whether a peer that closes a connection, session or link of its own accord, without an error, is an error. It is not by
    /// default.
    pub peer_close_is_error: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prefetch: 10, auto_accept: true, auto_settle: true, peer_close_is_error: false }
    }
}

macro_rules! callbacks {
    ($($(#[$doc:meta])* $name:ident $(=> $instead:ident)?;)*) => {
        $(
            $(#[$doc])*
            fn $name(&mut self, event: &mut Event<'_>) {
                callbacks!(@default self, event $(, $instead)?)
            }
        )*
    };
    (@default $self:ident, $event:ident) => { $event.pass() };
    (@default $self:ident, $event:ident, $instead:ident) => { $self.$instead($event) };
}

/// What a program does about what happens. A handler has the methods for what it cares about; what it has none for goes to the
/// handler of the next wider scope: from that of a link to that of its connection, and to those of the container.
///
/// The container calls one method at a time, so that a handler needs no lock. A method that blocks holds up everything else of
/// its container; in a build with debug assertions one that takes longer than a tenth of a second is logged. One that panics is
/// the last of its handler: what it was the handler of is closed with an error, the others go on, and
/// [`Container::run`](crate::Container::run) tells in the end. A message that it did not handle to the end is not accepted.
#[doc(alias = "MessagingHandler")]
pub trait Handler: Send {
    /// What the container does by itself where this is the narrowest handler. The defaults count where it panics.
    fn settings(&self) -> Settings {
        Settings::default()
    }

    callbacks! {
        /// The container begins to run.
        #[doc(alias = "on_reactor_init")]
        #[doc(alias = "on_container_start")]
        on_start;

        /// Messages can be sent on the link: the receiver has granted credit; or the next part of one that was begun
        /// ([`Delivery::is_writable`](crate::Delivery::is_writable)). While it asks for a drain
        /// ([`Sender::is_draining`](crate::Sender::is_draining)), credit that is left behind this call is given up.
        on_sendable;

        /// A message has come.
        on_message;

        /// The peer has accepted a message.
        #[doc(alias = "on_tracker_accept")]
        on_accepted;

        /// The peer has rejected a message; [`Event::delivery`](Event::delivery) tells why.
        #[doc(alias = "on_tracker_reject")]
        on_rejected;

        /// The peer has given a message back.
        #[doc(alias = "on_tracker_release")]
        on_released;

        /// The peer has given a message back changed: by default as [`on_released`](Self::on_released).
        on_modified => on_released;

        /// The peer has settled a message, which is never to be sent again. A message of which the peer has told the outcome
        /// only is settled by our end, and this is not called: as with an exactly-once link.
        #[doc(alias = "on_tracker_settle")]
        on_settled;

        /// What became of a message is not known, and cannot be found out: the connection was lost, or the link has ended.
        /// [`Event::error`] tells which; messages that were kept are with
        /// [`Sender::take_in_doubt`](crate::Sender::take_in_doubt).
        on_in_doubt;

        /// More of a message has come, on a receiver that takes them in parts
        /// ([`LinkOptions::in_parts`](crate::LinkOptions::in_parts)): [`Receiver::recv`](crate::Receiver::recv) gives it. A
        /// message that its sender gives up, or that comes again from its start, is
        /// [aborted](crate::Delivery::is_aborted); behind the last part of any other it is accepted, unless it has an outcome.
        on_delivery;

        /// A connection has come to an [`Acceptor`](crate::Acceptor), and its peer has shown who it is:
        /// [`Event::opening`] refuses it, or gives it a handler.
        on_connection_opening;

        /// The connection is open at both ends: again after [`on_disconnected`](Self::on_disconnected).
        on_connection_opened;

        /// The peer closes the connection.
        on_connection_closing;

        /// The connection is closed at both ends.
        on_connection_closed;

        /// The peer has closed the connection with an error: also at once, in place of letting us in.
        on_connection_error;

        /// The peer begins a session: [`Event::opening`] refuses it.
        on_session_opening;

        /// The session has begun at both ends.
        on_session_opened;

        /// The peer ends the session.
        on_session_closing;

        /// The session has ended at both ends.
        on_session_closed;

        /// The peer has ended the session with an error, or the session has not begun.
        on_session_error;

        /// The peer attaches a link, which waits for an answer: [`Event::opening`] says which, or refuses it.
        on_link_opening;

        /// The link is attached at both ends: again after the connection was made anew, where a node that the peer makes has
        /// another address.
        on_link_opened;

        /// A link that an acceptor had kept without its connection ([`KeepLinks`](crate::client::KeepLinks)) is given up with
        /// messages whose outcome nobody will know: its time is over, or its client has another one of that name.
        /// [`Event::expired_link`] tells which.
        on_link_expired;

        /// The peer detaches the link.
        on_link_closing;

        /// The link is detached at both ends.
        on_link_closed;

        /// The peer has detached the link with an error, or has not attached it; or a message on it cannot be read, and was
        /// rejected.
        on_link_error;

        /// The connection was lost, and is made anew where it is to be.
        on_disconnected;

        /// There is no connection, and none comes: the transport was not established, it failed, or the peer did not know us;
        /// or an acceptor cannot listen, or one of its clients has failed before it had opened.
        on_transport_error;

        /// A token was not taken by the peer's `$cbs` node, or was not renewed
        /// ([`Connection::keep_token`](crate::Connection::keep_token)).
        on_token_failed;

        /// An [`Acceptor`](crate::Acceptor) listens: its address is known.
        on_listening;

        /// A moment has come ([`Container::schedule`](crate::Container::schedule)).
        on_timer_task;

        /// A transaction has begun ([`Session::declare_transaction`](crate::Session::declare_transaction)).
        on_transaction_declared;

        /// What was done in a transaction holds.
        on_transaction_committed;

        /// Nothing holds of what was done in a transaction.
        on_transaction_aborted;

        /// A transaction has not begun.
        on_transaction_declare_failed;

        /// A transaction was not committed; by default as [`on_transaction_aborted`](Self::on_transaction_aborted).
        on_transaction_commit_failed => on_transaction_aborted;
    }
}
