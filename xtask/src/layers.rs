//! `cargo xtask layers`: the edges between crates, and what a crate must not know, against [`table::TABLE`].
//!
//! Dev-dependencies are aside: a test may reach anything.

mod silence;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use self::table::{Outside, Rule, TABLE};
use crate::{Verdict, workspace};

/// Checks the workspace at `root`.
///
/// # Errors
///
/// One line per edge or word that the table does not have.
pub(crate) fn check(root: &Path) -> Verdict {
    let metadata = workspace::metadata(root).map_err(|fault| vec![fault])?;
    let graph = Graph::read(&metadata).map_err(|fault| vec![fault])?;
    let mut faults = graph.faults(TABLE);
    faults.extend(silence::faults(root, TABLE));
    faults.extend(binaries_fault(&metadata));
    if faults.is_empty() {
        let (crates, edges) =
            (graph.packages.len(), graph.packages.values().map(|p| p.dependencies.len()).sum::<usize>());
        Ok(format!("layers: {crates} crates and {edges} edges as the table has them"))
    } else {
        Err(faults)
    }
}

/// `cargo run` needs no name as long as the packages that it looks at have one binary: the command.
fn binaries_fault(metadata: &Value) -> Option<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let defaults = list(&metadata["workspace_default_members"]);
    let packages = list(&metadata["packages"]);
    let looked_at = packages.iter().filter(|package| defaults.contains(&package["id"]));
    let targets = looked_at.flat_map(|package| list(&package["targets"]));
    let binaries = targets.filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bin"));
    let names: Vec<String> = binaries.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect();
    (names != ["postroad"])
        .then(|| format!("`cargo run` would have to choose among {names:?}: move all but the command"))
}

/// The part of `cargo metadata` that has to do with edges.
#[derive(Debug)]
struct Graph {
    /// Workspace members by name.
    packages: BTreeMap<String, Package>,
    /// Normal and build edges of the resolved graph, package id to package ids.
    resolved: BTreeMap<String, Vec<String>>,
    names: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Package {
    id: String,
    /// Normal and build dependencies as the manifest declares them.
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    optional: bool,
}

impl Graph {
    fn read(metadata: &Value) -> Result<Self, String> {
        let missing = |what: &str| format!("cargo metadata has no {what}");
        let array = |value: &Value, key: &str| value[key].as_array().cloned().ok_or_else(|| missing(key));
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| missing("name or id"));
        let members: BTreeSet<String> =
            array(metadata, "workspace_members")?.iter().map(text).collect::<Result<_, _>>()?;
        let (mut packages, mut names) = (BTreeMap::new(), BTreeMap::new());
        for package in array(metadata, "packages")? {
            let (id, name) = (text(&package["id"])?, text(&package["name"])?);
            if members.contains(&id) {
                let mut dependencies = Vec::new();
                for dependency in array(&package, "dependencies")? {
                    if dependency["kind"] != "dev" {
                        let optional = dependency["optional"].as_bool().unwrap_or(false);
                        dependencies.push(Dependency { name: text(&dependency["name"])?, optional });
                    }
                }
                packages.insert(name.clone(), Package { id: id.clone(), dependencies });
            }
            names.insert(id, name);
        }
        let mut resolved = BTreeMap::new();
        for node in array(&metadata["resolve"], "nodes")? {
            let mut targets = Vec::new();
            for edge in array(&node, "deps")? {
                if array(&edge, "dep_kinds")?.iter().any(|kind| kind["kind"] != "dev") {
                    targets.push(text(&edge["pkg"])?);
                }
            }
            resolved.insert(text(&node["id"])?, targets);
        }
        Ok(Self { packages, resolved, names })
    }

    fn faults(&self, table: &[Rule]) -> Vec<String> {
        let ours: BTreeSet<&str> = table.iter().map(|rule| rule.name).collect();
        let mut faults = Vec::new();
        for (name, package) in &self.packages {
            let Some(rule) = table.iter().find(|rule| rule.name == name) else {
                faults.push(format!("{name}: unknown crate: give it a row in xtask/src/layers/table.rs"));
                continue;
            };
            for dependency in &package.dependencies {
                faults.extend(
                    edge_fault(rule, dependency, &ours).map(|why| format!("{name} -> {}: {why}", dependency.name)),
                );
            }
            if let Outside::WhollyWithout(absent) = rule.outside {
                faults.extend(self.hidden_faults(name, &package.id, absent));
            }
        }
        faults
    }

    /// Paths of two or more edges from a member to a crate that must be absent; single edges are reported already.
    fn hidden_faults(&self, name: &str, id: &str, absent: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::from([id]);
        let mut open = vec![(id, name.to_owned(), 0)];
        while let Some((id, path, depth)) = open.pop() {
            for target in self.resolved.get(id).into_iter().flatten() {
                let Some(target_name) = self.names.get(target) else {
                    continue;
                };
                if !seen.insert(target) {
                    continue;
                }
                let path = format!("{path} -> {target_name}");
                if !absent.contains(&target_name.as_str()) {
                    open.push((target, path, depth + 1));
                } else if depth > 0 {
                    faults.push(format!("{path}: {target_name} must be absent from {name} and from what it imports"));
                }
            }
        }
        faults
    }
}

/// Why the table does not have this edge, if it does not.
fn edge_fault(rule: &Rule, dependency: &Dependency, ours: &BTreeSet<&str>) -> Option<String> {
    let (name, to) = (rule.name, dependency.name.as_str());
    if rule.behind_feature.contains(&to) {
        return (!dependency.optional)
            .then(|| format!("{name} may import {to} only behind a feature (optional = true)"));
    }
    if ours.contains(to) {
        let may = rule.may_import;
        return (!may.contains(&to)).then(|| match may {
            [] => format!("{name} may import none of our crates"),
            _ => format!("{name} may import only {} of our crates", may.join(", ")),
        });
    }
    match rule.outside {
        Outside::Only(allowed) => {
            (!allowed.contains(&to)).then(|| format!("{name} may import only {} from outside", allowed.join(" and ")))
        }
        Outside::DirectlyWithout(absent) | Outside::WhollyWithout(absent) => {
            absent.contains(&to).then(|| format!("{to} must be absent from {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Metadata of members with declared edges `(from, to, kind, optional)`; names not among members are outside.
    fn graph(members: &[&str], edges: &[(&str, &str, Option<&str>, bool)]) -> Graph {
        let names: BTreeSet<&str> =
            members.iter().copied().chain(edges.iter().flat_map(|edge| [edge.0, edge.1])).collect();
        let of = |name: &str| edges.iter().filter(move |edge| edge.0 == name).copied().collect::<Vec<_>>();
        let packages: Vec<Value> = names
            .iter()
            .map(|name| {
                let dependencies: Vec<Value> = of(name)
                    .iter()
                    .map(|(_, to, kind, optional)| json!({"name": to, "kind": kind, "optional": optional}))
                    .collect();
                json!({"id": format!("id:{name}"), "name": name, "dependencies": dependencies})
            })
            .collect();
        let nodes: Vec<Value> = names
            .iter()
            .map(|name| {
                let deps: Vec<Value> = of(name)
                    .iter()
                    .map(|(_, to, kind, _)| json!({"pkg": format!("id:{to}"), "dep_kinds": [{"kind": kind}]}))
                    .collect();
                json!({"id": format!("id:{name}"), "deps": deps})
            })
            .collect();
        let members: Vec<String> = members.iter().map(|name| format!("id:{name}")).collect();
        Graph::read(&json!({"workspace_members": members, "packages": packages, "resolve": {"nodes": nodes}}))
            .expect("synthetic metadata is complete")
    }

    fn faults(members: &[&str], edges: &[(&str, &str, Option<&str>, bool)]) -> Vec<String> {
        graph(members, edges).faults(TABLE)
    }

    #[test]
    fn the_command_is_the_only_binary_of_the_default_members() {
        let package = |id: &str, kind: &str, name: &str| serde_json::json!({"id": id, "targets": [{"kind": [kind], "name": name}]});
        let metadata =
            |packages: Value| serde_json::json!({"workspace_default_members": ["a", "b"], "packages": packages});
        let command = package("a", "bin", "postroad");
        let elsewhere = package("c", "bin", "chaos");
        assert_eq!(binaries_fault(&metadata(serde_json::json!([command, package("b", "lib", "b"), elsewhere]))), None);
        let second = binaries_fault(&metadata(serde_json::json!([command, package("b", "bin", "simulate")])));
        assert!(second.is_some_and(|fault| fault.contains("simulate")));
        assert!(binaries_fault(&serde_json::json!({})).is_some());
    }

    #[test]
    fn edges_of_the_table_pass() {
        let members = ["postroad-codec", "postroad-amqp", "postroad-taps", "postroad-client", "postroad-messaging"];
        let edges = [
            ("postroad-amqp", "postroad-codec", None, false),
            ("postroad-codec", "bytes", None, false),
            ("postroad-taps", "tokio", None, false),
            ("postroad-client", "postroad-taps", None, false),
            ("postroad-client", "postroad-amqp", None, false),
            ("postroad-messaging", "postroad-client", None, false),
            ("postroad-messaging", "tokio", None, false),
        ];
        assert_eq!(faults(&members, &edges), Vec::<String>::new());
    }

    #[test]
    fn face_must_not_reach_the_engine() {
        let members = ["postroad-messaging", "postroad-amqp"];
        assert_eq!(
            faults(&members, &[("postroad-messaging", "postroad-amqp", None, false)]),
            ["postroad-messaging -> postroad-amqp: \
              postroad-messaging may import only postroad-client, postroad-address of our crates"]
        );
    }

    #[test]
    fn build_dependency_counts_and_dev_dependency_does_not() {
        let members = ["postroad-codec", "postroad-testkit"];
        let edge = |kind| [("postroad-codec", "postroad-testkit", kind, false)];
        assert_eq!(faults(&members, &edge(Some("dev"))), Vec::<String>::new());
        for kind in [None, Some("build")] {
            assert_eq!(
                faults(&members, &edge(kind)),
                ["postroad-codec -> postroad-testkit: postroad-codec may import none of our crates"]
            );
        }
    }

    #[test]
    fn engine_must_not_name_a_runtime() {
        assert_eq!(
            faults(&["postroad-amqp"], &[("postroad-amqp", "tokio", None, false)]),
            ["postroad-amqp -> tokio: tokio must be absent from postroad-amqp"]
        );
    }

    #[test]
    fn engine_must_not_bring_a_runtime_along() {
        let edges = [("postroad-codec", "helper", None, false), ("helper", "mio", None, false)];
        assert_eq!(
            faults(&["postroad-codec"], &edges),
            ["postroad-codec -> helper -> mio: mio must be absent from postroad-codec and from what it imports"]
        );
        let edges = [("postroad-codec", "helper", None, false), ("helper", "mio", Some("dev"), false)];
        assert_eq!(faults(&["postroad-codec"], &edges), Vec::<String>::new());
    }

    #[test]
    fn address_has_two_dependencies() {
        let edges = [
            ("postroad-address", "nom", None, false),
            ("postroad-address", "thiserror", None, false),
            ("postroad-address", "regex", None, false),
        ];
        assert_eq!(
            faults(&["postroad-address"], &edges),
            ["postroad-address -> regex: postroad-address may import only nom and thiserror from outside"]
        );
    }

    #[test]
    fn transport_imports_only_sys() {
        let members = ["postroad-taps", "postroad-sys", "postroad-codec"];
        assert_eq!(faults(&members, &[("postroad-taps", "postroad-sys", None, false)]), Vec::<String>::new());
        assert_eq!(
            faults(&members, &[("postroad-taps", "postroad-codec", None, false)]),
            ["postroad-taps -> postroad-codec: postroad-taps may import only postroad-sys of our crates"]
        );
    }

    #[test]
    fn transport_of_msrp_sits_behind_a_feature() {
        let members = ["postroad-msrp", "postroad-taps"];
        assert_eq!(faults(&members, &[("postroad-msrp", "postroad-taps", None, true)]), Vec::<String>::new());
        assert_eq!(
            faults(&members, &[("postroad-msrp", "postroad-taps", None, false)]),
            ["postroad-msrp -> postroad-taps: \
              postroad-msrp may import postroad-taps only behind a feature (optional = true)"]
        );
    }

    #[test]
    fn unknown_member_is_a_fault() {
        assert_eq!(
            faults(&["postroad-extra"], &[]),
            ["postroad-extra: unknown crate: give it a row in xtask/src/layers/table.rs"]
        );
    }

    #[test]
    fn metadata_without_a_part_is_an_error_and_not_a_pass() {
        assert_eq!(Graph::read(&json!({"packages": []})).unwrap_err(), "cargo metadata has no workspace_members");
    }

    #[test]
    fn testkit_is_named_by_no_library() {
        let importers: Vec<&str> =
            TABLE.iter().filter(|rule| rule.may_import.contains(&"postroad-testkit")).map(|rule| rule.name).collect();
        assert_eq!(importers, ["benches", "tests"]);
    }
}
