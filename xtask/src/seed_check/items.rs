//! The public items of our crates, from their sources.
//!
//! Names are resolved as far as our own `mod`, `use` and `impl` go. What a macro makes is taken from the tokens given
//! to it; what a crate from outside holds is not looked into.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::read::Reader;

/// A path, segment by segment.
type Names = Vec<String>;

/// Items by crate.
#[derive(Debug)]
pub(crate) struct Index {
    /// Module path (crate first) to what stands in it.
    modules: BTreeMap<Names, Module>,
    /// Item path to the names reached through it: methods, variants, fields, associated items.
    members: BTreeMap<Names, BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Module {
    /// Items and child modules, and whether they are `pub`.
    items: BTreeMap<String, bool>,
    /// `use` lines: name (none for a glob), target, whether `pub`.
    uses: Vec<(Option<String>, Names, bool)>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Module(Names),
    Item(Names),
    /// Re-exported from a crate that is not ours.
    Outside,
}

impl Index {
    /// Reads the crates below `root`/crates.
    pub(crate) fn read(root: &Path) -> Result<Self, Vec<String>> {
        let reader = Reader::read_crates(root)?;
        let mut index = Self { modules: reader.modules, members: reader.members };
        for (module, target, names) in reader.impls {
            // An impl of a type that is not ours adds nothing to look up.
            if let Some(Found::Item(path)) = index.resolve(&module, &target, false, &mut BTreeSet::new()) {
                index.members.entry(path).or_default().extend(names);
            }
        }
        Ok(index)
    }

    /// Why `item` cannot be named from outside its crate, if it cannot.
    pub(crate) fn missing(&mut self, item: &str) -> Option<String> {
        let path: Names = item.split("::").map(str::to_owned).collect();
        if !self.modules.contains_key(&path[..1]) {
            return Some(format!("no crate `{}`", path[0]));
        }
        let mut here = Found::Module(path[..1].to_vec());
        for (index, name) in path.iter().enumerate().skip(1) {
            let before = &path[index - 1];
            here = match here {
                Found::Module(module) => match self.find(&module, name, true, &mut BTreeSet::new()) {
                    Some(found) => found,
                    None if self.modules[&module].items.get(name) == Some(&false) => {
                        return Some(format!("`{name}` is not public"));
                    }
                    None => return Some(format!("`{before}` has no public `{name}`")),
                },
                Found::Item(item) => match self.members.get(&item) {
                    Some(members) if members.contains(name) => {
                        let mut path = item;
                        path.push(name.clone());
                        Found::Item(path)
                    }
                    _ => return Some(format!("`{before}` has no public `{name}`")),
                },
                Found::Outside => return Some(format!("`{before}` is not one of our items")),
            };
        }
        None
    }

    /// The names reached through the item at a path, such as the methods of a type, those of traits included; none where
    /// there is no such item.
    pub(crate) fn members(&self, item: &str) -> Option<&BTreeSet<String>> {
        let path: Names = item.split("::").map(str::to_owned).collect();
        match self.resolve(&path[..1].to_vec(), &path, true, &mut BTreeSet::new())? {
            Found::Item(path) => self.members.get(&path),
            Found::Module(_) | Found::Outside => None,
        }
    }

    /// `name` in `module`; `seen` breaks circles of globs.
    fn find(&self, module: &Names, name: &str, public: bool, seen: &mut BTreeSet<(Names, String)>) -> Option<Found> {
        if !seen.insert((module.clone(), name.to_owned())) {
            return None;
        }
        let here = self.modules.get(module)?;
        if here.items.get(name).is_some_and(|is_public| *is_public || !public) {
            let mut path = module.clone();
            path.push(name.to_owned());
            return Some(if self.modules.contains_key(&path) { Found::Module(path) } else { Found::Item(path) });
        }
        let reachable = || here.uses.iter().filter(|(_, _, is_public)| *is_public || !public);
        if let Some((_, target, _)) = reachable().find(|(alias, _, _)| alias.as_deref() == Some(name)) {
            return self.resolve(module, target, false, seen);
        }
        reachable().filter(|(alias, _, _)| alias.is_none()).find_map(|(_, target, _)| {
            match self.resolve(module, target, false, &mut seen.clone())? {
                Found::Module(target) => self.find(&target, name, true, seen),
                Found::Item(item) if self.members.get(&item)?.contains(name) => {
                    Some(Found::Item(item.into_iter().chain([name.to_owned()]).collect()))
                }
                Found::Item(_) | Found::Outside => None,
            }
        })
    }

    /// A path as written in `module`.
    fn resolve(
        &self,
        module: &Names,
        path: &[String],
        public: bool,
        seen: &mut BTreeSet<(Names, String)>,
    ) -> Option<Found> {
        let (mut here, mut rest) = (Found::Module(module.clone()), path);
        match path.first()?.as_str() {
            "crate" => (here, rest) = (Found::Module(module[..1].to_vec()), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                let up = path.iter().take_while(|name| *name == "super").count();
                here = Found::Module(module.get(..module.len().checked_sub(up)?)?.to_vec());
                rest = &path[up..];
            }
            first if self.find(module, first, false, &mut seen.clone()).is_none() => {
                if !self.modules.contains_key(&path[..1]) {
                    return Some(Found::Outside);
                }
                (here, rest) = (Found::Module(path[..1].to_vec()), &path[1..]);
            }
            _ => {}
        }
        for name in rest {
            here = match here {
                Found::Module(module) => self.find(&module, name, public, seen)?,
                Found::Item(item) if self.members.get(&item)?.contains(name) => {
                    Found::Item(item.into_iter().chain([name.clone()]).collect())
                }
                Found::Item(_) => return None,
                Found::Outside => Found::Outside,
            };
        }
        Some(here)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An index of two crates, `postroad_low` and `postroad_high`.
    fn index(low: &str, high: &str) -> Index {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in [("low", low), ("high", high)] {
            let folder = root.path().join("crates").join(name);
            fs::create_dir_all(folder.join("src/deep")).expect("folders");
            fs::write(folder.join("Cargo.toml"), format!("[package]\nname = \"postroad-{name}\"\n")).expect("a file");
            fs::write(folder.join("src/lib.rs"), text).expect("a file");
            fs::write(folder.join("src/deep/mod.rs"), "pub mod inner;\npub struct Deep { pub size: u8, weight: u8 }\n")
                .expect("a file");
            fs::write(
                folder.join("src/deep/inner.rs"),
                "impl super::Deep { pub fn dig(&self) {} }\npub const DEPTH: u8 = 1;\n",
            )
            .expect("a file");
        }
        Index::read(root.path()).expect("sources parse")
    }

    fn check(low: &str, high: &str, present: &[&str], absent: &[&str]) {
        let mut index = index(low, high);
        for item in present {
            assert_eq!(index.missing(item), None, "{item}");
        }
        for item in absent {
            assert!(index.missing(item).is_some(), "{item} should be absent");
        }
    }

    #[test]
    fn files_fields_and_impls_elsewhere() {
        check(
            "pub mod deep;",
            "mod deep;",
            &[
                "postroad_low",
                "postroad_low::deep::Deep",
                "postroad_low::deep::Deep::dig",
                "postroad_low::deep::Deep::size",
                "postroad_low::deep::inner::DEPTH",
            ],
            &[
                "postroad_low::deep::Deep::weight",
                "postroad_low::Deep",
                "postroad_high::deep::Deep",
                "postroad_low::deep::inner::Deep",
            ],
        );
    }

    #[test]
    fn enums_traits_functions_and_aliases() {
        check(
            "pub enum Mode { Browse, Consume { all: bool } }\npub trait Run { const FAST: bool; fn run(&self); calls! { /// First.\n walk; stroll => walk; } }\npub fn start() {}\n\
             fn stop() {}\npub type Way = Mode;\npub(crate) struct Hidden;\nimpl Run for Mode { fn run(&self) {} }",
            "",
            &[
                "postroad_low::Mode::Browse",
                "postroad_low::Mode::Consume::all",
                "postroad_low::Run::run",
                "postroad_low::Run::FAST",
                "postroad_low::Run::walk",
                "postroad_low::Run::stroll",
                "postroad_low::start",
                "postroad_low::Way::Browse",
                "postroad_low::Mode::run",
            ],
            &[
                "postroad_low::Mode::Peek",
                "postroad_low::Run::stand",
                "postroad_low::stop",
                "postroad_low::Hidden",
                "postroad_low::start::x",
                "postroad_low::Way::Peek",
            ],
        );
    }

    #[test]
    fn re_exports_and_globs_between_crates() {
        check(
            "mod a { pub struct A; impl A { pub fn go(&self) {} } pub struct B; }\npub use a::A;\nuse a::B;\npub use bytes::Bytes;",
            "pub use postroad_low as low;\npub mod all { pub use postroad_low::*; }\npub use postroad_low::A as Other;\nmod c { pub use super::all::*; pub use crate::c::*; }\npub use c::*;",
            &[
                "postroad_low::A::go",
                "postroad_high::low::A",
                "postroad_high::all::A::go",
                "postroad_high::Other::go",
                "postroad_high::A",
                "postroad_low::Bytes",
            ],
            &[
                "postroad_low::B",
                "postroad_high::all::B",
                "postroad_high::C",
                "postroad_high::Other::stop",
                "postroad_low::Bytes::new",
            ],
        );
    }

    #[test]
    fn same_name_in_two_modules_is_two_types() {
        check(
            "pub mod one { pub struct Link; impl Link { pub fn up(&self) {} } }\npub mod two { pub struct Link; }",
            "",
            &["postroad_low::one::Link::up", "postroad_low::two::Link"],
            &["postroad_low::two::Link::up"],
        );
    }

    #[test]
    fn macros_with_items_and_with_their_own_language() {
        check(
            "mirror! { pub struct Plain; impl Plain { pub fn send(&self) {} } }\n\
             open_enum! { pub struct Role(bool) { Sender = false, Receiver = true } }",
            "",
            &["postroad_low::Plain::send", "postroad_low::Role::Sender"],
            &["postroad_low::Role::Observer", "postroad_low::Plain::receive"],
        );
    }

    #[test]
    fn source_that_does_not_parse_is_a_fault() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("crates/low/src");
        fs::create_dir_all(&folder).expect("folders");
        fs::write(root.path().join("crates/low/Cargo.toml"), "name = \"low\"\n").expect("a file");
        fs::write(folder.join("lib.rs"), "pub mod absent;").expect("a file");
        assert_eq!(Index::read(root.path()).expect_err("a missing file").len(), 1);
    }
}
