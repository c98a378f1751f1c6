use super::super::{LocateError, Lookup, MAX_RECORDS, Place, Service, SrvRecord};

fn service() -> Service {
    match Lookup::of_domain("example.com").unwrap() {
        Lookup::Service(service) => service,
        other @ Lookup::Place(_) => panic!("{other:?}"),
    }
}

fn record(priority: u16, weight: u16, target: &str) -> SrvRecord {
    SrvRecord { priority, weight, port: 9000, target: target.into() }
}

fn order(records: &[SrvRecord], random: &[u32]) -> String {
    let mut random = random.iter();
    let places = service().places(records, || *random.next().unwrap_or(&0)).unwrap();
    places.iter().map(|place| place.host.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn r18_what_is_looked_up_for_a_uri() {
    for (uri, expected) in [
        ("msrps://relay.example.com:9000;tcp", "relay.example.com:9000"),
        ("msrps://127.0.0.1:22855;tcp", "127.0.0.1:22855"),
        ("msrps://[::1]:22855;tcp", "[::1]:22855"),
        // There is no `_msrp`.
        ("msrp://relay.example.com;tcp", "relay.example.com:2855"),
    ] {
        match Lookup::of(&uri.parse().unwrap()) {
            Lookup::Place(place) => assert_eq!(place.to_string(), expected),
            other @ Lookup::Service(_) => panic!("{other:?}"),
        }
    }
    let of_uri = Lookup::of(&"msrps://alice@example.com;tcp".parse().unwrap());
    assert_eq!(of_uri, Lookup::Service(service()));
    assert_eq!(service().name(), "_msrps._tcp.example.com");
    for (domain, expected) in [("192.0.2.1", "192.0.2.1:2855"), ("2001:db8::1", "[2001:db8::1]:2855")] {
        match Lookup::of_domain(domain) {
            Ok(Lookup::Place(place)) => assert_eq!(place.to_string(), expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(Lookup::of_domain("exa mple").is_err() && Lookup::of_domain("").is_err());
}

/// Interop fact 13, RFC 4976 8.
#[test]
fn r18_without_records_it_is_the_domain_itself() {
    let places = service().places(&[], || 0).unwrap();
    assert_eq!(places, [Place { host: crate::Host::name("example.com").unwrap(), port: 2855 }]);
}

#[test]
fn r18_records_are_tried_by_priority_and_weight() {
    let records = [record(10, 5, "late."), record(0, 1, "one"), record(0, 2, "two.")];
    // Of 0 to 3, the first gets 0 and 1.
    let quarter = 1 << 30;
    assert_eq!(order(&records, &[0]), "one two late");
    assert_eq!(order(&records, &[2 * quarter - 1]), "one two late");
    assert_eq!(order(&records, &[2 * quarter]), "two one late");
    assert_eq!(order(&records, &[u32::MAX, u32::MAX, u32::MAX]), "two one late");
    // One without weight stands first, and is drawn by 0 alone.
    let weightless = [record(0, 1, "one"), record(0, 0, "none")];
    assert_eq!(order(&weightless, &[0]), "none one");
    assert_eq!(order(&weightless, &[u32::MAX]), "one none");
    // No draw goes beyond the largest sum.
    let heavy = vec![record(0, u16::MAX, "x"); 64];
    assert_eq!(order(&heavy, &[u32::MAX; 64]).split(' ').count(), 64);
}

#[test]
fn r18_weights_are_shares() {
    let records = [record(0, 0, "none"), record(0, 1, "one"), record(0, 3, "three")];
    let mut first = std::collections::HashMap::new();
    for step in 0..1000_u32 {
        let order = order(&records, &[step * (u32::MAX / 1000)]);
        *first.entry(order.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!((199..=201).contains(&first["none"]) && (599..=601).contains(&first["three"]), "{first:?}");
}

#[test]
fn r18_records_that_lead_nowhere() {
    assert_eq!(service().places(&[record(0, 0, ".")], || 0), Err(LocateError::NoService));
    let broken = ["", "a b", "a\r\nb", "192.0.2.1", "..", "."].map(|target| record(0, 0, target));
    let mut unusable = broken.to_vec();
    unusable.push(SrvRecord { port: 0, ..record(0, 0, "x") });
    assert_eq!(service().places(&unusable, || 0), Err(LocateError::NoTarget));
    unusable.push(record(9, 9, "good.example.com."));
    assert_eq!(order(&unusable, &[]), "good.example.com");
}

#[test]
fn r57_no_more_records_than_can_be_tried() {
    let mut records = vec![record(1, 1, "worse"); 1000];
    records.push(record(0, 1, "best"));
    let order = order(&records, &[]);
    assert!(order.starts_with("best worse") && order.split(' ').count() == MAX_RECORDS);
}
