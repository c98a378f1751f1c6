//! SRV records and the order in which they want to be tried (RFC 2782).

/// Where a host offers a service (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SrvRecord {
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share of the clients among the records of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host without the stop at its end; empty when the service is not offered.
    pub target: String,
}

impl SrvRecord {
    /// A record as it is published.
    pub fn new(priority: u16, weight: u16, port: u16, target: impl Into<String>) -> Self {
        Self { priority, weight, port, target: target.into() }
    }
}

/// Orders records as RFC 2782 wants them tried: by priority, and among those of one priority by drawing lots with
/// their weights. `random` gives a number from 0 to its argument, both included.
///
/// ```
/// use postroad_taps::{SrvRecord, order_srv};
///
/// let records = vec![SrvRecord::new(20, 0, 5672, "spare.example"), SrvRecord::new(10, 1, 5672, "first.example")];
/// let ordered = order_srv(records, &mut |_| 0);
/// assert_eq!(ordered[0].target, "first.example");
/// ```
pub fn order_srv(mut records: Vec<SrvRecord>, random: &mut impl FnMut(u32) -> u32) -> Vec<SrvRecord> {
    // Those without weight stand first among equals, so that they are drawn only by a 0.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut rest = &mut records[..];
    while let Some(first) = rest.first() {
        let priority = first.priority;
        let equals = rest.iter().take_while(|record| record.priority == priority).count();
        let sum = rest[..equals].iter().fold(0_u32, |sum, record| sum.saturating_add(record.weight.into()));
        let drawn = random(sum).min(sum);
        let mut running = 0_u32;
        let chosen = rest[..equals].iter().position(|record| {
            running = running.saturating_add(record.weight.into());
            running >= drawn
        });
        // The others keep their order, those without weight in front.
        rest[..=chosen.expect("the last running sum is the whole")].rotate_right(1);
        rest = &mut rest[1..];
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(records: &[SrvRecord]) -> String {
        records.iter().map(|record| record.target.as_str()).collect()
    }

    fn ordered(records: &[(u16, u16, &str)], draws: &[u32]) -> String {
        let records = records.iter().map(|(priority, weight, target)| SrvRecord::new(*priority, *weight, 1, *target));
        let mut draws = draws.iter();
        targets(&order_srv(records.collect(), &mut |max| (*draws.next().unwrap()).min(max)))
    }

    #[test]
    fn a_lower_priority_comes_first() {
        assert_eq!(ordered(&[(2, 9, "c"), (1, 0, "b"), (0, 0, "a")], &[0, 0, 0]), "abc");
    }

    #[test]
    fn lots_are_drawn_by_the_running_sum_of_the_weights() {
        let records = [(0, 10, "a"), (0, 0, "z"), (0, 30, "b"), (0, 60, "c")];
        // In the order z (0), a (10), b (40), c (100).
        assert_eq!(ordered(&records, &[0, 0, 0, 0]), "zabc");
        assert_eq!(ordered(&records, &[1, 0, 1, 0]), "azbc");
        assert_eq!(ordered(&records, &[40, 70, 10, 0]), "bcaz");
        assert_eq!(ordered(&records, &[41, 11, 10, 0]), "cbaz");
    }

    #[test]
    fn weights_are_shares() {
        let records = vec![SrvRecord::new(0, 1, 1, "a"), SrvRecord::new(0, 3, 1, "b")];
        let mut state = 1_u32;
        let mut random = |max: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % (max + 1)
        };
        let first = (0..4000).filter(|_| order_srv(records.clone(), &mut random)[0].target == "b").count();
        // Drawn from 0 to 4: 0 and 1 are for the first of the two, the other three for the second.
        assert!((2200..2600).contains(&first), "{first}");
    }

    #[test]
    fn nothing_is_lost_and_sums_do_not_overflow() {
        let records: Vec<_> = (0..500).map(|n| SrvRecord::new(n % 3, u16::MAX, n, n.to_string())).collect();
        let mut sorted = order_srv(records.clone(), &mut |max| max / 2);
        assert!(sorted.is_sorted_by_key(|record| record.priority));
        sorted.sort_by_key(|record| record.port);
        assert_eq!(sorted, records);
        assert_eq!(order_srv(Vec::new(), &mut |_| 0), Vec::new());
    }
}
