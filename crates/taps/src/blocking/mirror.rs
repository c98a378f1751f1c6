//! Types that do by blocking what others do by futures, method for method.

use std::time::Duration;

use super::Runtime;

/// What stands beside a wrapped value: it knows the runtime that drives it, and goes after it.
pub trait Guard {
    /// The runtime of what is guarded.
    fn runtime(&self) -> &Runtime;
}

impl Guard for Runtime {
    fn runtime(&self) -> &Runtime {
        self
    }
}

/// How a result of the original becomes one of its mirror. What has no mirror stays as it is.
pub trait Wrap<T, G>: Sized {
    /// Puts it under the guard of what gave it.
    fn wrap(inner: T, guard: &G) -> Self;
}

impl<T, G> Wrap<T, G> for T {
    fn wrap(inner: T, _: &G) -> Self {
        inner
    }
}

/// The time of a call was over. Errors of calls that take a timeout are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

/// Makes a type that blocks where another gives a future, from one list of methods:
///
/// ```
/// use postroad_taps::blocking::{BlockingError, Runtime, TimedOut, mirror};
///
/// /// Waits.
/// #[derive(Debug)]
/// pub struct Original;
/// /// Why it did not.
/// #[derive(Debug)]
/// pub struct Failed;
/// # impl From<BlockingError> for Failed { fn from(_: BlockingError) -> Self { Self } }
/// # impl From<TimedOut> for Failed { fn from(_: TimedOut) -> Self { Self } }
/// impl Original {
///     /// Whether they are one.
///     pub fn is(&self, other: &Original) -> bool { std::ptr::eq(self, other) }
///     /// The next number.
///     pub async fn next(&mut self, last: u32) -> Result<u32, Failed> { Ok(last + 1) }
///     /// Its name.
///     pub fn name(&self) -> &str { "original" }
/// }
///
/// mirror! {
///     /// Blocks.
///     #[derive(Debug)]
///     pub struct Mirror of Original, under Runtime;
///
///     wait fn next(&mut self, last: u32) -> Result<u32, Failed>;
///     /// `None` when there was none in time.
///     some fn next_timeout(&mut self, last: u32) = next -> Result<u32, Failed>;
///     /// An error when there was none in time.
///     soon fn next_in_time(&mut self, last: u32) = next -> Result<u32, Failed>;
///     pass fn name(&self) -> &str;
///     pass fn is(&self, other: &Mirror => inner) -> bool;
/// }
///
/// # fn main() -> Result<(), Failed> {
/// let mut mirror = Mirror { inner: Original, guard: Runtime::shared()? };
/// assert_eq!(mirror.next(1)?, 2);
/// assert_eq!(mirror.next_timeout(2, std::time::Duration::ZERO)?, Some(3));
/// assert_eq!(mirror.name(), "original");
/// assert!(mirror.is(&mirror));
/// # Ok(()) }
/// ```
///
/// | word | the original's method |
/// |---|---|
/// | `wait` | is async and gives a `Result`; its error is made of [`BlockingError`](crate::BlockingError) |
/// | `some` | as `wait`, with a timeout as last argument: `Ok(None)` when the time is over |
/// | `soon` | as `wait`, with a timeout as last argument: an error made of [`TimedOut`](crate::blocking::TimedOut) |
/// | `pass` | does not wait |
/// | `make` | does not wait and gives a `Result` with a value that has a mirror |
/// | `with` | takes and gives a builder |
///
/// An argument that is a mirror itself is written `name: &Type => inner`: the original gets what that wraps. A result
/// that has a mirror of its own is wrapped ([`Wrap`](crate::blocking::Wrap)). That no method is missing is checked by
/// `cargo xtask mirror-check`.
#[macro_export]
macro_rules! mirror {
    (
        $(#[$meta:meta])*
        pub struct $name:ident of $original:path, under $guard:ty;
        $($methods:tt)*
    ) => {
        $(#[$meta])*
        pub struct $name {
            // In this order: the guard goes when what it guards is gone.
            pub(crate) inner: $original,
            pub(crate) guard: $guard,
        }

        impl $crate::blocking::Wrap<$original, $guard> for $name {
            fn wrap(inner: $original, guard: &$guard) -> Self {
                Self { inner, guard: guard.clone() }
            }
        }

        impl $name {
            $crate::mirror! { @methods $name, $original; $($methods)* }
        }
    };

    (@methods $name:ident, $original:path;) => {};

    (@arg $arg:ident) => { $arg };
    (@arg $arg:ident $field:ident) => { &$arg.$field };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        wait fn $method:ident $(<$lt:lifetime>)? (&self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc wait, $name, $original, $method, [$(#[$meta])*]
            pub fn $method $(<$lt>)? (&self $(, $arg: $ty)*) -> Result<$ok, $err> {
                let call = self.inner.$method($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = $crate::blocking::Guard::runtime(&self.guard).run(call)?;
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        wait fn $method:ident(&mut self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc wait, $name, $original, $method, [$(#[$meta])*]
            pub fn $method(&mut self $(, $arg: $ty)*) -> Result<$ok, $err> {
                let call = self.inner.$method($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = $crate::blocking::Guard::runtime(&self.guard).run(call)?;
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        wait fn $method:ident(self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc wait, $name, $original, $method, [$(#[$meta])*]
            pub fn $method(self $(, $arg: $ty)*) -> Result<$ok, $err> {
                let Self { inner, guard } = self;
                let call = inner.$method($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = $crate::blocking::Guard::runtime(&guard).run(call)?;
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        some fn $method:ident(&self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) = $of:ident -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc timeout, $name, $original, $of, [$(#[$meta])*]
            pub fn $method(&self $(, $arg: $ty)*, timeout: std::time::Duration) -> Result<Option<$ok>, $err> {
                let runtime = $crate::blocking::Guard::runtime(&self.guard);
                let call = self.inner.$of($($crate::mirror!(@arg $arg $($field)?)),*);
                let Some(result) = runtime.run_for(call, timeout)? else { return Ok(None) };
                Ok(Some(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard)))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        some fn $method:ident(&mut self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) = $of:ident -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc timeout, $name, $original, $of, [$(#[$meta])*]
            pub fn $method(&mut self $(, $arg: $ty)*, timeout: std::time::Duration) -> Result<Option<$ok>, $err> {
                let runtime = $crate::blocking::Guard::runtime(&self.guard);
                let call = self.inner.$of($($crate::mirror!(@arg $arg $($field)?)),*);
                let Some(result) = runtime.run_for(call, timeout)? else { return Ok(None) };
                Ok(Some(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard)))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        soon fn $method:ident $(<$lt:lifetime>)? (&self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) = $of:ident -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc timeout, $name, $original, $of, [$(#[$meta])*]
            pub fn $method $(<$lt>)? (&self $(, $arg: $ty)*, timeout: std::time::Duration) -> Result<$ok, $err> {
                let runtime = $crate::blocking::Guard::runtime(&self.guard);
                let call = self.inner.$of($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = runtime.run_for(call, timeout)?;
                let result = result.unwrap_or_else(|| Err($crate::blocking::TimedOut(timeout).into()));
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        soon fn $method:ident(&mut self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) = $of:ident -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc timeout, $name, $original, $of, [$(#[$meta])*]
            pub fn $method(&mut self $(, $arg: $ty)*, timeout: std::time::Duration) -> Result<$ok, $err> {
                let runtime = $crate::blocking::Guard::runtime(&self.guard);
                let call = self.inner.$of($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = runtime.run_for(call, timeout)?;
                let result = result.unwrap_or_else(|| Err($crate::blocking::TimedOut(timeout).into()));
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &self.guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        soon fn $method:ident(self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) = $of:ident -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc timeout, $name, $original, $of, [$(#[$meta])*]
            pub fn $method(self $(, $arg: $ty)*, timeout: std::time::Duration) -> Result<$ok, $err> {
                let Self { inner, guard } = self;
                let call = inner.$of($($crate::mirror!(@arg $arg $($field)?)),*);
                let result = $crate::blocking::Guard::runtime(&guard).run_for(call, timeout)?;
                let result = result.unwrap_or_else(|| Err($crate::blocking::TimedOut(timeout).into()));
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(result?, &guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        pass fn $method:ident $(<$lt:lifetime>)? (&self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> $ret:ty;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc pass, $name, $original, $method, [$(#[$meta])*]
            pub fn $method $(<$lt>)? (&self $(, $arg: $ty)*) -> $ret {
                let result = self.inner.$method($($crate::mirror!(@arg $arg $($field)?)),*);
                <$ret as $crate::blocking::Wrap<_, _>>::wrap(result, &self.guard)
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        pass fn $method:ident(&mut self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> $ret:ty;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc pass, $name, $original, $method, [$(#[$meta])*]
            pub fn $method(&mut self $(, $arg: $ty)*) -> $ret {
                let result = self.inner.$method($($crate::mirror!(@arg $arg $($field)?)),*);
                <$ret as $crate::blocking::Wrap<_, _>>::wrap(result, &self.guard)
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        make fn $method:ident(self $(, $arg:ident: $ty:ty $(=> $field:ident)?)*) -> Result<$ok:ty, $err:ty>;
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc pass, $name, $original, $method, [$(#[$meta])*]
            pub fn $method(self $(, $arg: $ty)*) -> Result<$ok, $err> {
                let made = self.inner.$method($($crate::mirror!(@arg $arg $($field)?)),*)?;
                Ok(<$ok as $crate::blocking::Wrap<_, _>>::wrap(made, &self.guard))
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@methods $name:ident, $original:path;
        $(#[$meta:meta])*
        with fn $method:ident($($arg:ident: $ty:ty),*);
        $($rest:tt)*
    ) => {
        $crate::mirror! { @doc pass, $name, $original, $method, [$(#[$meta])*]
            pub fn $method(self $(, $arg: $ty)*) -> Self {
                Self { inner: self.inner.$method($($arg),*), guard: self.guard }
            }
        }
        $crate::mirror! { @methods $name, $original; $($rest)* }
    };

    (@doc wait, $name:ident, $original:path, $method:ident, [$($meta:tt)*] $item:item) => {
        #[doc = concat!(
            "As [`", stringify!($name), "::", stringify!($method), "`](", stringify!($original), "::", stringify!($method),
            "), and blocks until that is done."
        )]
        #[doc = ""]
        $($meta)*
        #[doc = ""]
        #[doc = "# Errors"]
        #[doc = "As there, and inside an async runtime."]
        $item
    };
    (@doc timeout, $name:ident, $original:path, $method:ident, [$($meta:tt)*] $item:item) => {
        #[doc = concat!(
            "As [`", stringify!($method), "`](Self::", stringify!($method), "), for at most `timeout`."
        )]
        #[doc = ""]
        $($meta)*
        #[doc = ""]
        #[doc = "# Errors"]
        #[doc = "As there."]
        $item
    };
    (@doc pass, $name:ident, $original:path, $method:ident, [$($meta:tt)*] $item:item) => {
        #[doc = concat!(
            "As [`", stringify!($name), "::", stringify!($method), "`](", stringify!($original), "::", stringify!($method),
            "), which does not wait."
        )]
        #[doc = ""]
        $($meta)*
        $item
    };
}
