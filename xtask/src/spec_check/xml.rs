//! The standard's side: the XML that defines its types.

use std::fs;
use std::path::Path;

use roxmltree::{Document, Node};

use super::{FieldFacts, Table};

const FILES: [&str; 5] =
    ["types.bare.xml", "transport.bare.xml", "messaging.bare.xml", "security.bare.xml", "transactions.bare.xml"];

/// Reads the five files in `folder`.
pub(super) fn read(folder: &Path) -> Result<Table, Vec<String>> {
    let (mut table, mut faults) = (Table::default(), Vec::new());
    for file in FILES {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).map_err(|error| error.to_string());
        if let Err(error) = text.and_then(|text| read_text(&text, &mut table)) {
            faults.push(format!("{}: {error}", path.display()));
        }
    }
    faults.extend(table.twice.iter().map(|(kind, name)| format!("{kind} {name}: twice in the XML")));
    if faults.is_empty() { Ok(table) } else { Err(faults) }
}

pub(super) fn read_text(text: &str, table: &mut Table) -> Result<(), String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    for node in document.descendants() {
        match node.tag_name().name() {
            "type" => read_type(node, table)?,
            "definition" => table.definition(attribute(node, "name")?, attribute(node, "value")?),
            _ => {}
        }
    }
    Ok(())
}

fn read_type(node: Node<'_, '_>, table: &mut Table) -> Result<(), String> {
    let name = attribute(node, "name")?;
    let children = |tag: &'static str| node.children().filter(move |child| child.tag_name().name() == tag);
    let descriptor = match children("descriptor").next() {
        Some(child) => Some((attribute(child, "name")?, descriptor_code(attribute(child, "code")?)?)),
        None => None,
    };
    match attribute(node, "class")? {
        "primitive" => {
            let mut encodings = Vec::new();
            for child in children("encoding") {
                let code = number(attribute(child, "code")?)?;
                let code =
                    u8::try_from(code).map_err(|_| format!("{name}: encoding code {code:#x} is over an octet"))?;
                let width = attribute(child, "width")?;
                let width = width.parse().map_err(|_| format!("{name}: width {width} is no octet"))?;
                encodings.push((child.attribute("name"), code, attribute(child, "category")?, width));
            }
            table.primitive(name, encodings);
        }
        "composite" => {
            if attribute(node, "source")? != "list" {
                return Err(format!("{name}: a composite that is no list"));
            }
            let descriptor = descriptor.ok_or_else(|| format!("{name}: a composite without a descriptor"))?;
            let mut fields = Vec::new();
            for child in children("field") {
                fields.push(FieldFacts {
                    name: attribute(child, "name")?,
                    ty: attribute(child, "type")?,
                    requires: child.attribute("requires"),
                    mandatory: child.attribute("mandatory") == Some("true"),
                    multiple: child.attribute("multiple") == Some("true"),
                    default: child.attribute("default"),
                });
            }
            table.composite(name, descriptor, fields);
        }
        "restricted" => {
            let mut choices = Vec::new();
            for child in children("choice") {
                choices.push((attribute(child, "name")?, attribute(child, "value")?));
            }
            table.restricted(name, attribute(node, "source")?, descriptor, choices);
        }
        class => return Err(format!("{name}: unknown class {class}")),
    }
    Ok(())
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, String> {
    node.attribute(name).ok_or_else(|| format!("{} without {name}", node.tag_name().name()))
}

/// `0x00000000:0x00000010`: the domain, then the code in it.
fn descriptor_code(text: &str) -> Result<u64, String> {
    let (domain, code) = text.split_once(':').ok_or_else(|| format!("descriptor code {text} has no domain"))?;
    Ok(number(domain)? << 32 | number(code)?)
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text} is not hexadecimal"))?;
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text} is not hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_code_joins_domain_and_code() {
        assert_eq!(descriptor_code("0x00000000:0x00000070"), Ok(0x70));
        assert_eq!(descriptor_code("0x00000001:0x00000002"), Ok(0x1_0000_0002));
        assert!(descriptor_code("0x70").is_err());
    }

    #[test]
    fn unknown_class_is_refused() {
        let text = r#"<amqp><type name="x" class="union"/></amqp>"#;
        assert_eq!(read_text(text, &mut Table::default()), Err("x: unknown class union".into()));
    }
}
