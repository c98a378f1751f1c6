//! Messages that came over a connection that is gone, on links that were resumed: where they are now.

use std::collections::HashMap;

use crate::Outcome;
use crate::protocol::{DeliveryNumber, DeliveryTag};

/// Deliveries that outlived their connection, by link and tag: the tag is all that stays (AMQP 1.0 part 2, 2.6.12).
#[derive(Debug, Default)]
pub(crate) struct Moved {
    deliveries: HashMap<(u64, DeliveryTag), Delivery>,
    /// Their tags, by link and present number.
    tags: HashMap<(u64, DeliveryNumber), DeliveryTag>,
}

/// A delivery that outlived its connection.
#[derive(Debug)]
struct Delivery {
    /// The engine that it came over, and its number there: these are what its message knows.
    came: (u32, DeliveryNumber),
    place: Place,
}

/// Where a delivery is.
#[derive(Debug)]
pub(crate) enum Place {
    /// The sender has not said yet what becomes of it; an outcome that is told meanwhile waits here.
    Waits(Option<Outcome>),
    /// It has this number now.
    At(DeliveryNumber),
}

impl Moved {
    /// Notes a delivery that is to go over to the next connection, with its number on the one of `epoch`.
    pub(crate) fn take_over(
        &mut self,
        before: &mut Self,
        link: u64,
        tag: DeliveryTag,
        epoch: u32,
        number: DeliveryNumber,
    ) {
        let known = before.deliveries.remove(&(link, tag));
        let known = known.filter(|known| match known.place {
            Place::At(at) => at == number,
            Place::Waits(_) => true,
        });
        let (came, told) = match known {
            Some(Delivery { came, place: Place::Waits(told) }) => (came, told),
            Some(Delivery { came, .. }) => (came, None),
            None => ((epoch, number), None),
        };
        self.deliveries.insert((link, tag), Delivery { came, place: Place::Waits(told) });
    }

    /// Notes the number that a delivery has now, or that it is over; gives the outcome that was told meanwhile.
    pub(crate) fn arrived(&mut self, link: u64, tag: DeliveryTag, number: Option<DeliveryNumber>) -> Option<Outcome> {
        let Some(number) = number else {
            self.deliveries.remove(&(link, tag));
            return None;
        };
        let delivery = self.deliveries.get_mut(&(link, tag))?;
        // Not from the attach before, where it took several.
        if let Place::At(before) = delivery.place {
            self.tags.remove(&(link, before));
        }
        self.tags.insert((link, number), tag);
        match std::mem::replace(&mut delivery.place, Place::At(number)) {
            Place::Waits(told) => told,
            Place::At(_) => None,
        }
    }

    /// Takes what is known of other links from what was known before.
    pub(crate) fn keep_others(&mut self, before: Self, link: u64) {
        self.deliveries.extend(before.deliveries.into_iter().filter(|((of, _), _)| *of != link));
        self.tags.extend(before.tags.into_iter().filter(|((of, _), _)| *of != link));
    }

    /// Where the delivery is that came over the engine of `epoch` with this tag and number; nowhere when it is over.
    pub(crate) fn place(&mut self, link: u64, tag: DeliveryTag, came: (u32, DeliveryNumber)) -> Option<&mut Place> {
        let delivery = self.deliveries.get_mut(&(link, tag)).filter(|delivery| delivery.came == came)?;
        Some(&mut delivery.place)
    }

    /// How many deliveries of a link its sender has still to resume.
    pub(crate) fn waiting(&self, link: u64) -> usize {
        let waits = |delivery: &Delivery| matches!(delivery.place, Place::Waits(_));
        self.deliveries.iter().filter(|((of, _), delivery)| *of == link && waits(delivery)).count()
    }

    /// Forgets a delivery that is settled; gives what its message knows it by.
    pub(crate) fn forget(&mut self, link: u64, number: DeliveryNumber) -> Option<(u32, DeliveryNumber)> {
        let tag = self.tags.remove(&(link, number))?;
        self.deliveries.remove(&(link, tag)).map(|delivery| delivery.came)
    }

    /// Forgets all deliveries of a link.
    pub(crate) fn forget_link(&mut self, link: u64) {
        if !self.is_empty() {
            self.deliveries.retain(|(of, _), _| *of != link);
            self.tags.retain(|(of, _), _| *of != link);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u64) -> DeliveryTag {
        DeliveryTag::from(number)
    }

    #[test]
    fn a_delivery_keeps_the_name_that_it_came_with() {
        let n = DeliveryNumber;
        let mut first = Moved::default();
        first.take_over(&mut Moved::default(), 1, tag(7), 0, n(5));
        first.take_over(&mut Moved::default(), 1, tag(8), 0, n(6));
        if let Some(Place::Waits(told)) = first.place(1, tag(7), (0, n(5))) {
            *told = Some(Outcome::Accepted);
        }
        // The second is never heard of before the connection is lost again.
        assert_eq!(first.arrived(1, tag(7), Some(n(0))), Some(Outcome::Accepted));
        let mut second = Moved::default();
        second.take_over(&mut first, 1, tag(7), 1, n(0));
        second.take_over(&mut first, 1, tag(8), 1, n(6));
        assert_eq!(second.arrived(1, tag(8), Some(n(3))), None);
        assert!(matches!(second.place(1, tag(8), (0, n(6))), Some(Place::At(DeliveryNumber(3)))));
        assert!(matches!(second.place(1, tag(7), (0, n(5))), Some(Place::Waits(None))));
        assert!(second.place(1, tag(7), (1, n(0))).is_none(), "it has another name");
        second.arrived(1, tag(7), None);
        assert_eq!(second.forget(1, n(3)), Some((0, n(6))));
        assert_eq!(second.forget(1, n(3)), None);
        assert!(second.is_empty() && second.tags.is_empty());
    }

    #[test]
    fn a_tag_that_was_used_again_is_another_delivery() {
        let n = DeliveryNumber;
        let mut first = Moved::default();
        first.take_over(&mut Moved::default(), 1, tag(7), 0, n(5));
        first.arrived(1, tag(7), Some(n(0)));
        let mut second = Moved::default();
        second.take_over(&mut first, 1, tag(7), 1, n(9));
        assert!(second.place(1, tag(7), (0, n(5))).is_none());
        assert!(second.place(1, tag(7), (1, n(9))).is_some());
        second.forget_link(1);
        assert!(second.is_empty());
    }
}
