//! What became of a message.

/// What a notification tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// Whether the message came to its recipient.
    Delivery(DeliveryStatus),
    /// Whether it was shown to the recipient.
    Display(DisplayStatus),
    /// What something in between did with it; recipients never tell of this (RFC 5438 7.2.1).
    Processing(ProcessingStatus),
}

/// Whether a message came to its recipient (RFC 5438 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// It did.
    Delivered,
    /// It did not.
    Failed,
    /// Nobody is allowed to tell.
    Forbidden,
    /// Nobody can tell.
    Error,
}

/// Whether a message was shown (RFC 5438 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisplayStatus {
    /// It was, which does not mean that it was read.
    Displayed,
    /// Nobody is allowed to tell.
    Forbidden,
    /// Nobody can tell.
    Error,
}

/// What something in between did with a message (RFC 5438 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessingStatus {
    /// What it is there for.
    Processed,
    /// It keeps the message for later.
    Stored,
    /// Nobody is allowed to tell.
    Forbidden,
    /// Nobody can tell.
    Error,
}

/// Each notification with the names of its elements (RFC 5438 11.1.6, 11.1.7).
pub(super) const NOTIFICATIONS: [(Notification, &str, &str); 11] = [
    (Notification::Delivery(DeliveryStatus::Delivered), "delivery-notification", "delivered"),
    (Notification::Delivery(DeliveryStatus::Failed), "delivery-notification", "failed"),
    (Notification::Delivery(DeliveryStatus::Forbidden), "delivery-notification", "forbidden"),
    (Notification::Delivery(DeliveryStatus::Error), "delivery-notification", "error"),
    (Notification::Display(DisplayStatus::Displayed), "display-notification", "displayed"),
    (Notification::Display(DisplayStatus::Forbidden), "display-notification", "forbidden"),
    (Notification::Display(DisplayStatus::Error), "display-notification", "error"),
    (Notification::Processing(ProcessingStatus::Processed), "processing-notification", "processed"),
    (Notification::Processing(ProcessingStatus::Stored), "processing-notification", "stored"),
    (Notification::Processing(ProcessingStatus::Forbidden), "processing-notification", "forbidden"),
    (Notification::Processing(ProcessingStatus::Error), "processing-notification", "error"),
];
