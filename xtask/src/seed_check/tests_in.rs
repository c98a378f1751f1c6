//! Whether a file has a test of a name.

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item};

/// Why `FILE.rs::NAME` is not a test that runs, if it is not.
pub(super) fn missing(root: &Path, test: &str) -> Option<String> {
    let Some((file, name)) = test.split_once("::").filter(|(file, _)| file.ends_with(".rs")) else {
        return Some("write it as FILE.rs::NAME".into());
    };
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        return Some("no such file".into());
    };
    let parsed = match syn::parse_file(&text) {
        Ok(parsed) => parsed,
        Err(error) => return Some(format!("{file}: {error}")),
    };
    let mut found = Vec::new();
    collect(&parsed.items, "", &mut found);
    // The modules around it may be left out.
    match found.iter().find(|(path, _)| path == name || path.ends_with(&format!("::{name}"))) {
        None => Some("the file has no such test".into()),
        Some((_, true)) => Some("it is ignored".into()),
        Some((_, false)) => None,
    }
}

/// Tests by path inside the file, and whether each is ignored.
fn collect(items: &[Item], prefix: &str, found: &mut Vec<(String, bool)>) {
    for item in items {
        match item {
            Item::Fn(function) if has(&function.attrs, "test") => {
                found.push((format!("{prefix}{}", function.sig.ident), has(&function.attrs, "ignore")));
            }
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    collect(items, &format!("{prefix}{}::", module.ident), found);
                }
            }
            // `proptest! { #[test] fn name(..) .. }` and the like.
            Item::Macro(call) => in_tokens(call.mac.tokens.clone(), prefix, found),
            _ => {}
        }
    }
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().segments.last().is_some_and(|last| last.ident == name))
}

fn in_tokens(tokens: TokenStream, prefix: &str, found: &mut Vec<(String, bool)>) {
    let (mut test, mut ignored, mut after_fn) = (false, false, false);
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => {
                let text = group.stream().to_string();
                test |= text == "test" || text.ends_with(":: test");
                ignored |= text.starts_with("ignore");
            }
            TokenTree::Ident(name) if after_fn => {
                if test {
                    found.push((format!("{prefix}{name}"), ignored));
                }
                (test, ignored, after_fn) = (false, false, false);
            }
            TokenTree::Ident(word) => after_fn = word == "fn",
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tests_in_modules_and_macros() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let text = "mod tests {\n#[test]\nfn one() {}\n}\nproptest! {\n#[test]\nfn two(x in 0..3) { f(x); }\nfn three() {}\n}\n";
        fs::write(root.path().join("a.rs"), text).expect("a file");
        for present in ["a.rs::one", "a.rs::tests::one", "a.rs::two"] {
            assert_eq!(missing(root.path(), present), None, "{present}");
        }
        for absent in ["a.rs::three", "a.rs::other::one", "a.rs::ne"] {
            assert_eq!(missing(root.path(), absent), Some("the file has no such test".into()), "{absent}");
        }
    }
}
