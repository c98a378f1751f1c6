//! How much a broker takes.

/// What a broker takes before it says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once, those that are not authenticated yet included; the next ones are closed once they are
    /// open.
    pub connections: usize,
    /// Connections at once from one IP address, as for `connections`. Unix sockets have none, and count for this limit not
    /// at all.
    pub connections_per_address: usize,
    /// Connections at once of one user who is not anonymous, as for `connections`.
    pub connections_per_user: usize,
    /// Sessions on a connection; one more is a framing error, since clients know the limit. 65 536 at most.
    pub sessions_per_connection: usize,
    /// Links on a connection; the next ones are refused. A client that leaves as many detaches unanswered is closed.
    pub links_per_connection: usize,
    /// Links on a session; the next ones are refused.
    pub links_per_session: usize,
    /// Links that are kept for a while when they are detached, or would be; the next ones are granted no time beyond their
    /// detach. Where there are users, those who are anonymous get half of them.
    pub resumable_links: usize,
    /// The same of one user who is not anonymous.
    pub resumable_links_per_user: usize,
    /// Queues and other nodes; the next ones are not made.
    pub nodes: usize,
    /// Messages in a queue, unsettled ones included. Near it senders get less credit, and what comes all the
    /// same is rejected.
    pub queue_messages: usize,
    /// Bytes of messages in a queue, as for `queue_messages`.
    pub queue_bytes: usize,
    /// Bytes of messages in all queues and subscriptions together, as for `queue_bytes`. Queues take from it a
    /// little ahead, 64 KiB at most each. A message of a topic counts once for all of its subscriptions, and once for
    /// each queue that is bound.
    pub total_bytes: usize,
    /// Subscriptions of an exchange, which a topic is; the next ones are refused.
    pub subscriptions_per_topic: usize,
    /// Bindings of all exchanges together, those of subscriptions included; the next ones are refused. Each takes a key of
    /// 255 bytes and arguments of 4096 at most.
    pub bindings: usize,
    /// Messages in a subscription, unsettled ones included. What happens beyond is the topic's
    /// [`Overflow`](crate::Overflow).
    pub subscription_messages: usize,
    /// Bytes of messages in a subscription, as for `subscription_messages`.
    pub subscription_bytes: usize,
    /// Transactions of a connection that are open at once; the next ones are not declared.
    pub transactions_per_connection: usize,
    /// Bytes of messages that were posted in open transactions of a connection, each 256 more than its own; the next
    /// ones are rejected.
    pub transaction_bytes: usize,
    /// The size of a message, in bytes. A link that brings a larger one is detached.
    pub message_size: u64,
    /// The size of a frame, in bytes; 512 at least.
    pub frame_size: u32,
    /// The size of a frame before a client is authenticated, in bytes, where it may bring a token; 512 at least, and
    /// 512 otherwise.
    pub sasl_frame_size: u32,
}

impl Default for Limits {
    /// 10 000 connections, from anywhere and of anyone, with 256 sessions and 1024 links, 10 000 links that can be
    /// resumed and 1024 of one user, 10 000 nodes, a million messages or 256 MiB in a queue, 1 GiB in all, 10 000
    /// subscriptions of an exchange with 10 000 messages or 64 MiB in each, 100 000 bindings, 256 open transactions of
    /// a connection that hold 64 MiB, messages of 16 MiB, frames of 64 KiB, those with a token of 8 KiB.
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: usize::MAX,
            connections_per_user: usize::MAX,
            sessions_per_connection: 256,
            links_per_connection: 1024,
            links_per_session: 1024,
            resumable_links: 10_000,
            resumable_links_per_user: 1024,
            nodes: 10_000,
            queue_messages: 1_000_000,
            queue_bytes: 256 * 1024 * 1024,
            total_bytes: 1024 * 1024 * 1024,
            subscriptions_per_topic: 10_000,
            bindings: 100_000,
            subscription_messages: 10_000,
            subscription_bytes: 64 * 1024 * 1024,
            transactions_per_connection: 256,
            transaction_bytes: 64 * 1024 * 1024,
            message_size: 16 * 1024 * 1024,
            frame_size: 64 * 1024,
            sasl_frame_size: 8 * 1024,
        }
    }
}
