//! The application properties of a message, looked at where they lie.

use postroad_codec::v1_0::{MapRef, ValueRef};

/// Of more properties those behind these count as absent: whoever looks at them holds a lock.
pub(crate) const MAX_PROPERTIES: usize = 4096;

/// The properties in order, up to the first that is malformed.
pub(crate) fn entries<'a>(map: Option<MapRef<'a>>) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
    let entries = map.into_iter().flatten().take(MAX_PROPERTIES).map_while(Result::ok);
    entries.filter_map(|(key, value)| Some((key.as_str()?, value)))
}

/// The first property of this name.
pub(crate) fn find<'a>(map: Option<MapRef<'a>>, name: &str) -> Option<ValueRef<'a>> {
    entries(map).find(|(key, _)| *key == name).map(|(_, value)| value)
}
