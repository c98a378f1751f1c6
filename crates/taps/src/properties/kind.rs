//! The kinds of values that properties have: how each is read from a [`PropertyValue`] and shown as one.

use std::marker::PhantomData;
use std::time::Duration;

use super::connection::ChecksumCoverage;
use super::value::PropertyValue;

/// One kind of value. A row of a table names one.
pub(super) trait Kind {
    type Value;
    /// What is expected, for the error.
    const EXPECTED: &'static str;
    /// `None` where the value is not of this kind or out of its range.
    fn read(value: &PropertyValue) -> Option<Self::Value>;
    fn show(value: Self::Value) -> PropertyValue;
    /// Sets what the value says of `target`; `None` leaves it as it is.
    fn change(target: &mut Self::Value, value: &PropertyValue) -> Option<()> {
        *target = Self::read(value)?;
        Some(())
    }
}

/// A type with a fixed set of values that have words, and perhaps numbers.
pub(super) trait Enumerated: Copy + PartialEq + 'static {
    const EXPECTED: &'static str;
    /// Every value with its word, and then other words that are read as one.
    const WORDS: &'static [(&'static str, Self)];
    /// The number that stands for it in the original interface.
    fn number(self) -> Option<i64> {
        None
    }
}

/// The value that a word or a number stands for.
pub(super) fn enumerated<E: Enumerated>(value: &PropertyValue) -> Option<E> {
    if let PropertyValue::Integer(number) = value {
        return E::WORDS.iter().find(|(_, known)| known.number() == Some(*number)).map(|(_, known)| *known);
    }
    let text = value.text()?;
    let by_word = E::WORDS.iter().find(|(word, _)| same_word(word, text));
    by_word
        .or_else(|| {
            let number = text.parse().ok()?;
            E::WORDS.iter().find(|(_, known)| known.number() == Some(number))
        })
        .map(|(_, known)| *known)
}

/// The word for a value.
pub(super) fn word<E: Enumerated>(value: E) -> &'static str {
    E::WORDS.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// Words differ in case and in what is put between their parts: `Low Latency/Interactive`, `LOW_LATENCY_INTERACTIVE`.
fn same_word(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    // The length is compared first: text from outside may be long.
    b.len() <= 2 * a.len() && letters(a) == letters(b)
}

/// A value that is an [`Enumerated`].
pub(super) struct Named<E>(PhantomData<E>);

impl<E: Enumerated> Kind for Named<E> {
    type Value = E;
    const EXPECTED: &'static str = E::EXPECTED;

    fn read(value: &PropertyValue) -> Option<E> {
        enumerated(value)
    }

    fn show(value: E) -> PropertyValue {
        PropertyValue::word(word(value))
    }
}

/// True or false.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";

    fn read(value: &PropertyValue) -> Option<bool> {
        match value {
            PropertyValue::Boolean(value) => Some(*value),
            _ => match value.text()? {
                text if text.eq_ignore_ascii_case("true") => Some(true),
                text if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
        }
    }

    fn show(value: bool) -> PropertyValue {
        PropertyValue::Boolean(value)
    }
}

/// A number of 0 or more.
pub(super) struct Count;

impl Kind for Count {
    type Value = u32;
    const EXPECTED: &'static str = "a number from 0 to 4294967295";

    fn read(value: &PropertyValue) -> Option<u32> {
        integer(value)?.try_into().ok()
    }

    fn show(value: u32) -> PropertyValue {
        PropertyValue::Integer(value.into())
    }
}

/// A time, or a word that there is none. `W` tells which word.
pub(super) struct Time<W>(PhantomData<W>);

impl<W: NoValue> Kind for Time<W> {
    type Value = Option<Duration>;
    const EXPECTED: &'static str = W::EXPECTED;

    fn read(value: &PropertyValue) -> Option<Self::Value> {
        if is_none(value) {
            return Some(None);
        }
        let duration = match value {
            PropertyValue::Duration(duration) => *duration,
            PropertyValue::Integer(seconds) => Duration::from_secs((*seconds).try_into().ok()?),
            _ => seconds(value.text()?)?,
        };
        // The standard's types are positive numbers.
        (!duration.is_zero()).then_some(Some(duration))
    }

    fn show(value: Self::Value) -> PropertyValue {
        value.map_or_else(|| PropertyValue::word(W::WORD), PropertyValue::Duration)
    }
}

/// A positive number of any unit but seconds, or a word that there is none.
pub(super) struct Bound<W, N>(PhantomData<(W, N)>);

impl<W: NoValue, N: TryFrom<i64> + TryInto<i64>> Kind for Bound<W, N> {
    type Value = Option<N>;
    const EXPECTED: &'static str = W::EXPECTED;

    fn read(value: &PropertyValue) -> Option<Self::Value> {
        if is_none(value) {
            return Some(None);
        }
        let number = integer(value).filter(|number| *number > 0)?;
        number.try_into().ok().map(Some)
    }

    fn show(value: Self::Value) -> PropertyValue {
        value.map_or_else(
            || PropertyValue::word(W::WORD),
            |number| PropertyValue::Integer(number.try_into().unwrap_or(i64::MAX)),
        )
    }
}

/// The size of a message: 0 says that there can be none, a word that it is not known or has no meaning.
pub(super) struct Size;

impl Kind for Size {
    type Value = Option<u64>;
    const EXPECTED: &'static str = "a number of bytes";

    fn read(value: &PropertyValue) -> Option<Self::Value> {
        if is_none(value) { Some(None) } else { integer(value)?.try_into().ok().map(Some) }
    }

    fn show(value: Self::Value) -> PropertyValue {
        value.map_or_else(
            || PropertyValue::word("Not applicable"),
            |size| PropertyValue::Integer(size.try_into().unwrap_or(i64::MAX)),
        )
    }
}

/// How much a checksum covers.
pub(super) struct Coverage;

impl Kind for Coverage {
    type Value = ChecksumCoverage;
    const EXPECTED: &'static str = "a number of bytes, 0 or more, or `Full Coverage`";

    fn read(value: &PropertyValue) -> Option<ChecksumCoverage> {
        let is_full = |text| same_word("Full Coverage", text) || same_word("Full", text);
        if value.text().is_some_and(is_full) || integer(value) == Some(-1) {
            return Some(ChecksumCoverage::Full);
        }
        integer(value)?.try_into().ok().map(ChecksumCoverage::Bytes)
    }

    fn show(value: ChecksumCoverage) -> PropertyValue {
        match value {
            ChecksumCoverage::Full => PropertyValue::word("Full Coverage"),
            ChecksumCoverage::Bytes(bytes) => PropertyValue::Integer(bytes.into()),
        }
    }
}

/// The word that a property has where it has no number (RFC 9622 leaves it to the environment).
pub(super) trait NoValue {
    const WORD: &'static str;
    const EXPECTED: &'static str;
}

macro_rules! no_value {
    ($($name:ident $word:literal, $expected:literal;)*) => {$(
        pub(super) struct $name;

        impl NoValue for $name {
            const WORD: &'static str = $word;
            const EXPECTED: &'static str = $expected;
        }
    )*};
}

no_value! {
    Disabled "Disabled", "a positive number of seconds, or `Disabled`";
    Infinite "Infinite", "a positive number of seconds, or `Infinite`";
    System "Default", "a positive number of seconds, or `Default`";
    Unlimited "Unlimited", "a positive number, or `Unlimited`";
    Never "Disabled", "a positive number, or `Disabled`";
}

/// Any of the words that say that there is no value, and the original's −1.
fn is_none(value: &PropertyValue) -> bool {
    const WORDS: [&str; 9] =
        ["Disabled", "Infinite", "inf", "Infinity", "Default", "Unlimited", "Not applicable", "None", "No bound"];
    integer(value) == Some(-1) || value.text().is_some_and(|text| WORDS.iter().any(|word| same_word(word, text)))
}

fn integer(value: &PropertyValue) -> Option<i64> {
    match value {
        PropertyValue::Integer(number) => Some(*number),
        _ => value.text()?.parse().ok(),
    }
}

/// Seconds with a fraction, without the detour over a float that would change it.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Some(Duration::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}
