//! Users in a text file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::OnceLock;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::prepare::prepare;
use super::server::ANONYMOUS_USER;
use super::{DEFAULT_ITERATIONS, Decoy, SaslError, ScramHash, ScramKeys, Users};

/// The largest file, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// The longest line, in bytes.
const MAX_LINE: usize = 4096;
/// The most users. Each with a plain password costs some milliseconds at load.
const MAX_USERS: usize = 10_000;
/// The longest name, in bytes: with a nonce beside it, it has to fit a message.
const MAX_NAME: usize = 256;

/// Users read from a text, one a line:
///
/// ```text
/// # a comment; empty lines are skipped
/// alice:wonderland
/// bob:{plain}{braces} and $dollars
/// carol:SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>
/// ```
///
/// - `name:password` is a password in plain text, up to the end of the line, blanks included. Keys for every SCRAM hash
///   are derived from it once, and then it is forgotten. `{plain}` before it is needed when it begins with `{`, `$` or
///   `SCRAM-`, since other files mark hashes so.
/// - `name:SCRAM-..` are keys in the form of RFC 5803, which PostgreSQL keeps as well and [`hash_password`] makes. A name
///   may have a line for each hash. A hash is offered when all users have keys for it, for the strongest mechanism would
///   shut out those who do not.
///
/// `PLAIN` derives the keys again until a login has succeeded, and for each that does not; from then on a keyed digest of
/// the password is compared, which is kept in memory only. `Debug` shows no name and no key.
pub struct UserFile {
    users: Vec<User>,
    index: HashMap<String, usize>,
    hashes: Vec<ScramHash>,
    /// The key of the digests of passwords.
    digest_key: Zeroizing<Vec<u8>>,
}

/// Keys in the order of [`ScramHash::STRONGEST_FIRST`], one at least.
struct User {
    keys: Vec<ScramKeys>,
    /// The digest of the password that fitted the keys, once one did: deriving keys takes as long as it is meant to.
    passed: OnceLock<Zeroizing<Vec<u8>>>,
}

/// A line of a user file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct UserFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: UserFileErrorKind,
}

/// What is wrong with a line of a user file. Holds nothing of what may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserFileErrorKind {
    /// The file is larger than 4 MiB.
    #[error("file larger than {MAX_FILE} bytes")]
    FileTooLarge,
    /// The line is longer than 4096 bytes.
    #[error("longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// There are more than 10 000 users.
    #[error("more than {MAX_USERS} users")]
    TooManyUsers,
    /// Nothing separates a name from a password.
    #[error("no `:` after the name")]
    NoColon,
    /// The name is empty, too long, or has characters that cannot be used.
    #[error("name is empty, longer than {MAX_NAME} bytes, or has characters that cannot be used")]
    Name,
    /// The name is the one that anonymous clients get.
    #[error("`{ANONYMOUS_USER}` is the name of clients without a user")]
    Reserved,
    /// The user has a password or keys for that hash already.
    #[error("user already on line {first}")]
    Duplicate {
        /// The line that says so.
        first: usize,
    },
    /// The password is empty or has characters that SASLprep refuses.
    #[error("password is empty or has characters that SASLprep refuses")]
    Password,
    /// The text after the name looks like a scheme that is not known.
    #[error("unknown scheme after the name")]
    UnknownScheme,
    /// Keys that cannot be used.
    #[error(transparent)]
    Keys(SaslError),
    /// With this user, no hash is left that every user has keys for.
    #[error("no SCRAM hash is left that every user has keys for")]
    NoCommonHash,
}

impl UserFileErrorKind {
    /// What a person can do about it, when something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoColon => Some("write `name:password`"),
            Self::Name => Some("a name has no `:`, does not begin with `#`, and has no control characters"),
            Self::UnknownScheme | Self::Keys(SaslError::Malformed(_)) => Some(
                "write `name:SCRAM-SHA-256$iterations:salt$stored:server`, or `name:{plain}password` if this is a password",
            ),
            Self::Keys(error) => error.hint(),
            Self::Password => SaslError::Prep("").hint(),
            Self::NoCommonHash => Some("add a line with keys for the same hash to each user"),
            Self::FileTooLarge | Self::LineTooLong | Self::TooManyUsers | Self::Reserved | Self::Duplicate { .. } => {
                None
            }
        }
    }
}

/// Makes a line for a [`UserFile`], without its line end: the user's keys for one hash. The salt must be random.
///
/// # Errors
/// `Name` or `Reserved`, `Password`, or `Keys` for a number of iterations out of bounds.
///
/// ```
/// use postroad_amqp::sasl::{DEFAULT_ITERATIONS, ScramHash, UserFile, hash_password};
///
/// let line = hash_password("alice", "wonderland", ScramHash::Sha256, DEFAULT_ITERATIONS, [7; 16])?;
/// assert!(line.starts_with("alice:SCRAM-SHA-256$4096:"));
/// UserFile::parse(&line, [0; 32])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash_password(
    user: &str,
    password: &str,
    hash: ScramHash,
    iterations: u32,
    salt: [u8; 16],
) -> Result<String, UserFileErrorKind> {
    let user = parse_name(user)?;
    if user.contains(':') || user.starts_with('#') {
        return Err(UserFileErrorKind::Name);
    }
    let keys = ScramKeys::derive(hash, password, iterations, salt).map_err(|error| match error {
        SaslError::Prep(_) => UserFileErrorKind::Password,
        other => UserFileErrorKind::Keys(other),
    })?;
    Ok(format!("{user}:{}", keys.to_rfc5803()))
}

impl UserFile {
    /// Reads users from a text. The salts of plain passwords come from the seed, which must be random; wiping the text
    /// is left to the caller.
    ///
    /// # Errors
    /// The first line that cannot be used.
    pub fn parse(text: &str, salt_seed: [u8; 32]) -> Result<Self, UserFileError> {
        if text.len() > MAX_FILE {
            return Err(UserFileError { line: 1, kind: UserFileErrorKind::FileTooLarge });
        }
        let salt_seed = Zeroizing::new(salt_seed);
        let mut lines = Lines::default();
        for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            lines.take(line, content).map_err(|kind| UserFileError { line, kind })?;
        }
        // Only when every line is known to be good is time spent on deriving.
        let mut users = Vec::with_capacity(lines.entries.len());
        let mut hashes = ScramHash::STRONGEST_FIRST.to_vec();
        for (name, entry) in lines.entries {
            let user = entry.secret.into_user(&name, &*salt_seed);
            hashes.retain(|hash| user.keys.iter().any(|keys| keys.hash() == *hash));
            if hashes.is_empty() {
                return Err(UserFileError { line: entry.line, kind: UserFileErrorKind::NoCommonHash });
            }
            users.push(user);
        }
        // No salt is made of these words: those have a hash and a name in them.
        let digest_key = ScramHash::Sha512.hmac(&*salt_seed, b"passwords that fitted");
        Ok(Self { users, index: lines.index, hashes, digest_key })
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl Users for UserFile {
    fn scram(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
        let user = &self.users[*self.index.get(user)?];
        user.keys.iter().find(|keys| keys.hash() == hash).cloned()
    }

    fn check_plain(&self, user: &str, password: &str) -> bool {
        match self.index.get(user) {
            Some(&index) => self.users[index].check(password, &self.digest_key),
            None => {
                // Some user's keys, the same for each name, so that the answer takes as long as for a user we have.
                let pick = user.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
                if let Some(other) = pick.checked_rem(self.users.len()) {
                    std::hint::black_box(self.users[other].check_keys().verify_password(password));
                }
                false
            }
        }
    }

    fn hashes(&self) -> &[ScramHash] {
        &self.hashes
    }

    fn decoy(&self, hash: ScramHash, pick: u64) -> Decoy {
        let length = u64::try_from(self.users.len()).unwrap_or(u64::MAX);
        let index = pick.checked_rem(length).and_then(|index| usize::try_from(index).ok());
        let keys = index.and_then(|index| self.users[index].keys.iter().find(|keys| keys.hash() == hash));
        match keys {
            Some(keys) => Decoy { iterations: keys.iterations(), salt_len: keys.salt().len() },
            None => Decoy { iterations: DEFAULT_ITERATIONS, salt_len: 16 },
        }
    }
}

impl fmt::Debug for UserFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFile")
            .field("users", &self.users.len())
            .field("hashes", &self.hashes)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Checks a password as it was sent, quickly where it has fitted before.
    fn check(&self, password: &str, digest_key: &[u8]) -> bool {
        let digest = ScramHash::Sha512.hmac(digest_key, password.as_bytes());
        if self.passed.get().is_some_and(|passed| passed.ct_eq(&digest).into()) {
            return true;
        }
        let fits = self.check_keys().verify_password(password);
        if fits {
            // Another spelling of the same password may be there already.
            let _ = self.passed.set(digest);
        }
        fits
    }

    /// The keys that a plain password is checked against: SHA-256, the quickest where processors know it.
    fn check_keys(&self) -> &ScramKeys {
        self.keys.iter().find(|keys| keys.hash() == ScramHash::Sha256).unwrap_or(&self.keys[0])
    }
}

#[derive(Default)]
struct Lines {
    entries: Vec<(String, Line)>,
    index: HashMap<String, usize>,
}

struct Line {
    line: usize,
    secret: LineSecret,
}

enum LineSecret {
    Plain(Zeroizing<String>),
    Scram(Vec<ScramKeys>),
}

impl Lines {
    fn take(&mut self, line: usize, content: &str) -> Result<(), UserFileErrorKind> {
        if content.len() > MAX_LINE {
            return Err(UserFileErrorKind::LineTooLong);
        }
        if content.trim().is_empty() || content.trim_start().starts_with('#') {
            return Ok(());
        }
        let (name, value) = content.split_once(':').ok_or(UserFileErrorKind::NoColon)?;
        let name = parse_name(name)?;
        let secret = LineSecret::parse(value)?;
        match self.index.entry(name.clone()) {
            Entry::Vacant(_) if self.entries.len() == MAX_USERS => Err(UserFileErrorKind::TooManyUsers),
            Entry::Vacant(vacant) => {
                vacant.insert(self.entries.len());
                self.entries.push((name, Line { line, secret }));
                Ok(())
            }
            Entry::Occupied(occupied) => {
                let entry = &mut self.entries[*occupied.get()].1;
                entry.secret.merge(secret).map_err(|()| UserFileErrorKind::Duplicate { first: entry.line })
            }
        }
    }
}

impl LineSecret {
    fn parse(value: &str) -> Result<Self, UserFileErrorKind> {
        if value.starts_with("SCRAM-") {
            return match ScramKeys::from_rfc5803(value.trim_end()) {
                Ok(keys) => Ok(Self::Scram(vec![keys])),
                Err(error) => Err(UserFileErrorKind::Keys(error)),
            };
        }
        let password = match value.strip_prefix("{plain}") {
            Some(password) => password,
            None if value.starts_with(['{', '$']) => return Err(UserFileErrorKind::UnknownScheme),
            None => value,
        };
        prepare(password, "password").map_err(|_| UserFileErrorKind::Password)?;
        Ok(Self::Plain(Zeroizing::new(password.to_owned())))
    }

    /// A user may have keys for several hashes, but nothing twice.
    fn merge(&mut self, other: Self) -> Result<(), ()> {
        match (self, other) {
            (Self::Scram(have), Self::Scram(new)) if have.iter().all(|keys| keys.hash() != new[0].hash()) => {
                have.extend(new);
                have.sort_by_key(|keys| std::cmp::Reverse(keys.hash()));
                Ok(())
            }
            _ => Err(()),
        }
    }

    fn into_user(self, name: &str, salt_seed: &[u8]) -> User {
        let keys = match self {
            Self::Scram(keys) => keys,
            Self::Plain(password) => ScramHash::STRONGEST_FIRST
                .into_iter()
                .map(|hash| {
                    let salt = ScramHash::Sha256.hmac(salt_seed, format!("{hash}\0{name}").as_bytes())[..16].to_vec();
                    ScramKeys::derive(hash, &password, DEFAULT_ITERATIONS, salt)
                        .expect("the password was prepared before, and iterations and salt are in bounds")
                })
                .collect(),
        };
        User { keys, passed: OnceLock::new() }
    }
}

fn parse_name(name: &str) -> Result<String, UserFileErrorKind> {
    let name = prepare(name.trim(), "user name").map_err(|_| UserFileErrorKind::Name)?.to_string();
    match name.as_str() {
        ANONYMOUS_USER => Err(UserFileErrorKind::Reserved),
        long if long.len() > MAX_NAME => Err(UserFileErrorKind::Name),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn error(text: &str) -> (usize, UserFileErrorKind) {
        let error = UserFile::parse(text, [0; 32]).unwrap_err();
        (error.line, error.kind)
    }

    #[test]
    fn reads_passwords_and_keys() {
        let text =
            format!("\u{feff}# users\r\n\r\n  # more\nalice:wonder land \r\n bob :{{plain}}{{x}}:y\ncarol:{KEYS}\n");
        let users = UserFile::parse(&text, [1; 32]).unwrap();
        assert_eq!((users.len(), users.is_empty()), (3, false));
        assert!(users.check_plain("alice", "wonder land "));
        assert!(!users.check_plain("alice", "wonder land"));
        assert!(users.check_plain("bob", "{x}:y"));
        assert!(users.check_plain("carol", "pencil"));
        assert!(!users.check_plain("dave", "pencil"));
        // Carol has keys for one hash only, so the others are not offered.
        assert_eq!(users.hashes(), [ScramHash::Sha256]);
        assert!(users.scram("carol", ScramHash::Sha512).is_none());
        assert_eq!(users.scram("carol", ScramHash::Sha256).unwrap().to_rfc5803(), KEYS);
        let printed = format!("{users:?}");
        assert!(!printed.contains("alice") && printed.contains("users: 3"), "{printed}");
    }

    #[test]
    fn a_password_that_fitted_is_known_again() {
        let users = UserFile::parse("alice:wonderland\nbob:x", [1; 32]).unwrap();
        let passed = |name: &str| users.users[users.index[name]].passed.get().is_some();
        assert!(!users.check_plain("alice", "wonder") && !passed("alice"), "one that does not fit is not kept");
        assert!(users.check_plain("alice", "wonderland") && passed("alice") && !passed("bob"));
        assert!(users.check_plain("alice", "wonderland"));
        for wrong in ["wonder", "", "wonderland ", "x"] {
            assert!(!users.check_plain("alice", wrong), "{wrong}");
        }
        assert!(!users.check_plain("bob", "wonderland"));
        // The digest alone is looked at: here it is of a password that does not fit the keys.
        let bob = &users.users[users.index["bob"]];
        bob.passed.set(ScramHash::Sha512.hmac(&users.digest_key, b"other")).unwrap();
        assert!(users.check_plain("bob", "other"));
    }

    #[test]
    fn salts_differ_by_user_hash_and_seed() {
        let salts = |seed| {
            let users = UserFile::parse("a:x\nb:x", [seed; 32]).unwrap();
            let salts = ["a", "b"].into_iter().flat_map(|user| {
                ScramHash::STRONGEST_FIRST.map(|hash| users.scram(user, hash).unwrap().salt().to_vec())
            });
            salts.collect::<Vec<_>>()
        };
        assert_eq!(salts(1), salts(1));
        let all: std::collections::HashSet<_> = salts(1).into_iter().chain(salts(2)).collect();
        assert_eq!(all.len(), 12);
    }

    #[test]
    fn a_user_may_have_keys_for_several_hashes() {
        let [one, two] = [ScramHash::Sha1, ScramHash::Sha512]
            .map(|hash| hash_password("alice", "wonderland", hash, 4096, [3; 16]).unwrap());
        let users = UserFile::parse(&format!("{one}\n{two}"), [0; 32]).unwrap();
        assert_eq!((users.len(), users.hashes()), (1, &[ScramHash::Sha512, ScramHash::Sha1][..]));
        assert!(users.check_plain("alice", "wonderland"));
        assert_eq!(error(&format!("{one}\n{one}")), (2, UserFileErrorKind::Duplicate { first: 1 }));
        let other = format!("bob:{KEYS}");
        assert_eq!(error(&format!("{one}\n{two}\n{other}")), (3, UserFileErrorKind::NoCommonHash));
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        use UserFileErrorKind as Kind;
        assert_eq!(error("\nalice"), (2, Kind::NoColon));
        assert_eq!(error(":x"), (1, Kind::Name));
        assert_eq!(error("a\u{7}b:x"), (1, Kind::Name));
        assert_eq!(error(&format!("{}:x", "a".repeat(MAX_NAME + 1))), (1, Kind::Name));
        assert_eq!(error("anonymous:x"), (1, Kind::Reserved));
        assert_eq!(error("a:"), (1, Kind::Password));
        assert_eq!(error("a:{plain}"), (1, Kind::Password));
        assert_eq!(error("a:\u{1f407}"), (1, Kind::Password));
        assert_eq!(error("a:x\n\na:y"), (3, Kind::Duplicate { first: 1 }));
        assert_eq!(error("IX:x\n\u{2168}:y"), (2, Kind::Duplicate { first: 1 }));
        assert_eq!(error(&format!("a:x\na:{KEYS}")), (2, Kind::Duplicate { first: 1 }));
        for scheme in ["{SSHA}abc", "{SCRAM-SHA-256}4096$a$b$c", "$apr1$a$b", "$2y$10$abc", "{"] {
            assert_eq!(error(&format!("a:{scheme}")), (1, Kind::UnknownScheme), "{scheme}");
        }
        assert!(Kind::UnknownScheme.hint().unwrap().contains("{plain}"));
        for keys in ["SCRAM-MD5$4096:QQ==$QQ==:QQ==", "SCRAM-SHA-256", &KEYS[..KEYS.len() - 1]] {
            let (line, kind) = error(&format!("a:{keys}"));
            assert!(matches!((line, &kind), (1, Kind::Keys(SaslError::Malformed(_)))), "{kind:?}");
        }
        let many = KEYS.replace("4096", "9999999");
        assert_eq!(
            error(&format!("a:{many}")),
            (1, Kind::Keys(SaslError::IterationCount { count: 9_999_999, min: 4096 }))
        );
        let shown = UserFile::parse("x:y\nsecret$word", [0; 32]).unwrap_err().to_string();
        assert_eq!(shown, "line 2: no `:` after the name");
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(error(&"#".repeat(MAX_FILE + 1)), (1, UserFileErrorKind::FileTooLarge));
        assert_eq!(error(&format!("\na:{}", "x".repeat(MAX_LINE))), (2, UserFileErrorKind::LineTooLong));
        let line = |number: usize| format!("u{number}:{KEYS}\n");
        let full: String = (0..MAX_USERS).map(line).collect();
        assert_eq!(UserFile::parse(&full, [0; 32]).unwrap().len(), MAX_USERS);
        assert_eq!(error(&(full + &line(MAX_USERS))), (MAX_USERS + 1, UserFileErrorKind::TooManyUsers));
    }

    #[test]
    fn made_lines_can_be_read() {
        for hash in ScramHash::STRONGEST_FIRST {
            let line = hash_password(" \u{2168} ", "pass", hash, 4096, [1; 16]).unwrap();
            assert!(UserFile::parse(&line, [0; 32]).unwrap().check_plain("IX", "pass"), "{line}");
        }
        let make = |user, password, iterations| hash_password(user, password, ScramHash::Sha256, iterations, [0; 16]);
        assert_eq!(make("a:b", "x", 4096), Err(UserFileErrorKind::Name));
        assert_eq!(make("a\u{ff1a}b", "x", 4096), Err(UserFileErrorKind::Name));
        assert_eq!(make("#a", "x", 4096), Err(UserFileErrorKind::Name));
        assert_eq!(make("a", "", 4096), Err(UserFileErrorKind::Password));
        let few = UserFileErrorKind::Keys(SaslError::IterationCount { count: 1, min: 4096 });
        assert_eq!(make("a", "x", 1), Err(few));
    }
}
