//! Reading sources: what each file of a crate adds to the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Fields, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility};

use super::{Module, Names};

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) modules: BTreeMap<Names, Module>,
    pub(super) members: BTreeMap<Names, BTreeSet<String>>,
    /// Module, type as written there, names that the impl adds.
    pub(super) impls: Vec<(Names, Names, Vec<String>)>,
    faults: Vec<String>,
}

impl Reader {
    /// Reads the crates below `root`/crates.
    pub(super) fn read_crates(root: &Path) -> Result<Self, Vec<String>> {
        let mut reader = Self::default();
        let entries = fs::read_dir(root.join("crates")).into_iter().flatten();
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        for folder in folders {
            let library = folder.join("src/lib.rs");
            if let Some(name) = package_name(&folder).filter(|_| library.is_file()) {
                reader.file(&vec![name.replace('-', "_")], &library, &folder.join("src"));
            }
        }
        if reader.faults.is_empty() { Ok(reader) } else { Err(reader.faults) }
    }

    /// `folder` is where files of child modules are.
    fn file(&mut self, module: &Names, file: &Path, folder: &Path) {
        let parsed = fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| {
            syn::parse_file(&text).map_err(|error| format!("line {}: {error}", error.span().start().line))
        });
        match parsed {
            Ok(parsed) => self.items(module, parsed.items, folder),
            Err(error) => self.faults.push(format!("{}: {error}", file.display())),
        }
    }

    fn items(&mut self, module: &Names, items: Vec<Item>, folder: &Path) {
        self.modules.entry(module.clone()).or_default();
        for item in items {
            self.item(module, item, folder);
        }
    }

    fn item(&mut self, module: &Names, item: Item, folder: &Path) {
        match item {
            Item::Mod(child) => {
                let name = child.ident.to_string();
                self.define(module, &name, is_public(&child.vis));
                let (path, inner) = (below(module, &name), folder.join(&name));
                if let Some((_, items)) = child.content {
                    self.items(&path, items, &inner);
                } else {
                    let beside = folder.join(format!("{name}.rs"));
                    let file = if beside.is_file() { beside } else { inner.join("mod.rs") };
                    self.file(&path, &file, &inner);
                }
            }
            Item::Use(line) => {
                let mut uses = Vec::new();
                flatten_use(&line.tree, &mut Vec::new(), &mut uses);
                let public = is_public(&line.vis);
                let here = self.modules.entry(module.clone()).or_default();
                here.uses.extend(uses.into_iter().map(|(alias, target)| (alias, target, public)));
            }
            Item::Struct(item) => {
                let path = self.define(module, &item.ident.to_string(), is_public(&item.vis));
                let fields = public_fields(&item.fields, false);
                self.members.entry(path).or_default().extend(fields);
            }
            Item::Enum(item) => {
                let path = self.define(module, &item.ident.to_string(), is_public(&item.vis));
                for variant in &item.variants {
                    let name = variant.ident.to_string();
                    self.members.entry(below(&path, &name)).or_default().extend(public_fields(&variant.fields, true));
                    self.members.entry(path.clone()).or_default().insert(name);
                }
            }
            Item::Trait(item) => {
                let path = self.define(module, &item.ident.to_string(), is_public(&item.vis));
                self.members.entry(path).or_default().extend(item.items.iter().flat_map(trait_members));
            }
            Item::Impl(item) => {
                if let Some(target) = type_path(&item.self_ty) {
                    self.impls.push((module.clone(), target, impl_members(&item)));
                }
            }
            Item::Type(item) => {
                let public = is_public(&item.vis);
                match type_path(&item.ty) {
                    // Reaches the same names as the type it stands for.
                    Some(target) if !target.contains(&"Self".to_owned()) => {
                        let here = self.modules.entry(module.clone()).or_default();
                        here.uses.push((Some(item.ident.to_string()), target, public));
                    }
                    _ => drop(self.define(module, &item.ident.to_string(), public)),
                }
            }
            Item::Fn(item) => {
                drop(self.define(module, &item.sig.ident.to_string(), is_public(&item.vis)));
            }
            Item::Const(item) => {
                drop(self.define(module, &item.ident.to_string(), is_public(&item.vis)));
            }
            Item::Static(item) => {
                drop(self.define(module, &item.ident.to_string(), is_public(&item.vis)));
            }
            Item::Macro(call) => match call.ident {
                // `macro_rules! name`, public only when exported, and then from the crate's root.
                Some(name) => {
                    if call.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                        self.define(&module[..1].to_vec(), &name.to_string(), true);
                    }
                }
                None => match syn::parse2::<syn::File>(call.mac.tokens.clone()) {
                    Ok(parsed) => self.items(module, parsed.items, folder),
                    Err(_) => self.tokens(module, call.mac.tokens, None),
                },
            },
            _ => {}
        }
    }

    /// Names in a macro's own language: `struct X` and its kind are items, `fn y`, `const Z` and capitalised words in the
    /// braces after one are its members.
    fn tokens(&mut self, module: &Names, tokens: TokenStream, mut owner: Option<Names>) {
        let (mut keyword, mut public) = (String::new(), false);
        for tree in tokens {
            match tree {
                TokenTree::Ident(word) => {
                    let name = word.to_string();
                    match keyword.as_str() {
                        "struct" | "enum" | "trait" | "type" => {
                            owner = Some(self.define(module, &name, public));
                        }
                        "impl" => owner = Some(below(module, &name)),
                        "fn" | "const" => match &owner {
                            Some(owner) => drop(self.members.entry(owner.clone()).or_default().insert(name.clone())),
                            None => drop(self.define(module, &name, public)),
                        },
                        _ => {
                            if let Some(owner) = owner.as_ref().filter(|_| name.starts_with(char::is_uppercase)) {
                                self.members.entry(owner.clone()).or_default().insert(name.clone());
                            }
                        }
                    }
                    public = name == "pub"
                        || (public
                            && matches!(
                                name.as_str(),
                                "async" | "struct" | "enum" | "trait" | "type" | "fn" | "const"
                            ));
                    keyword = name;
                }
                TokenTree::Group(group) => {
                    self.tokens(module, group.stream(), owner.clone());
                    keyword.clear();
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => keyword.clear(),
            }
        }
    }

    fn define(&mut self, module: &Names, name: &str, public: bool) -> Names {
        let known = self.modules.entry(module.clone()).or_default().items.entry(name.to_owned()).or_default();
        *known |= public;
        below(module, name)
    }
}

fn below(path: &[String], name: &str) -> Names {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn public_fields(fields: &Fields, all: bool) -> Vec<String> {
    let named =
        |field: &syn::Field| field.ident.as_ref().filter(|_| all || is_public(&field.vis)).map(ToString::to_string);
    fields.iter().filter_map(named).collect()
}

fn trait_members(item: &TraitItem) -> Vec<String> {
    match item {
        TraitItem::Fn(item) => vec![item.sig.ident.to_string()],
        TraitItem::Const(item) => vec![item.ident.to_string()],
        TraitItem::Type(item) => vec![item.ident.to_string()],
        TraitItem::Macro(item) => listed(&item.mac.tokens),
        _ => Vec::new(),
    }
}

/// The names that a macro in a trait makes members of: the first word of each of its parts, `name;` or `name => ..;`.
fn listed(tokens: &TokenStream) -> Vec<String> {
    let (mut names, mut begins) = (Vec::new(), true);
    for tree in tokens.clone() {
        match tree {
            TokenTree::Ident(name) if std::mem::take(&mut begins) => names.push(name.to_string()),
            TokenTree::Punct(mark) if mark.as_char() == ';' => begins = true,
            _ => {}
        }
    }
    names
}

fn impl_members(item: &ItemImpl) -> Vec<String> {
    let of_trait = item.trait_.is_some();
    let member = |item: &ImplItem| match item {
        ImplItem::Fn(item) if of_trait || is_public(&item.vis) => Some(item.sig.ident.to_string()),
        ImplItem::Const(item) if of_trait || is_public(&item.vis) => Some(item.ident.to_string()),
        ImplItem::Type(item) => Some(item.ident.to_string()),
        _ => None,
    };
    item.items.iter().filter_map(member).collect()
}

fn type_path(ty: &Type) -> Option<Names> {
    match ty {
        Type::Path(path) => Some(path.path.segments.iter().map(|segment| segment.ident.to_string()).collect()),
        Type::Reference(reference) => type_path(&reference.elem),
        _ => None,
    }
}

fn flatten_use(tree: &UseTree, prefix: &mut Names, uses: &mut Vec<(Option<String>, Names)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten_use(&path.tree, prefix, uses);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            uses.push((prefix.last().cloned(), prefix.clone()));
        }
        UseTree::Name(name) => uses.push((Some(name.ident.to_string()), below(prefix, &name.ident.to_string()))),
        UseTree::Rename(rename) => {
            uses.push((Some(rename.rename.to_string()), below(prefix, &rename.ident.to_string())));
        }
        UseTree::Glob(_) => uses.push((None, prefix.clone())),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten_use(tree, prefix, uses);
            }
        }
    }
}

fn package_name(folder: &Path) -> Option<String> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let line = manifest.lines().find(|line| line.starts_with("name"))?;
    line.split('"').nth(1).map(str::to_owned)
}
