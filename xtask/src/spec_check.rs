//! `cargo xtask spec-check --xml DIR`: the codec's tables against the XML of the AMQP 1.0 standard.
//!
//! Both sides become the same thing, a [`Table`] of facts by type; what differs between two tables is reported. The XML
//! is no part of the project: OASIS publishes it beside the standard.

mod codec;
mod xml;

use std::collections::BTreeMap;
use std::path::Path;

use crate::Verdict;

/// Compares the codec with the XML files in `folder`.
///
/// # Errors
///
/// One line per difference, then the count.
pub(crate) fn check(folder: &Path) -> Verdict {
    let standard = xml::read(folder)?;
    compare(&standard, &codec::table())
}

/// Facts by kind and name: `("composite", "transfer")` has the fact `code` with the value `0x14`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    entries: BTreeMap<(&'static str, String), Facts>,
    /// Entries that came twice.
    twice: Vec<(&'static str, String)>,
}

type Facts = BTreeMap<String, String>;

/// What every kind of entry is called; a definition is a named number and no type.
const DEFINITION: &str = "definition";

impl Table {
    fn add(&mut self, kind: &'static str, name: &str, facts: Facts) {
        let key = (kind, name.to_owned());
        if self.entries.insert(key.clone(), facts).is_some() {
            self.twice.push(key);
        }
    }

    fn primitive<'a>(&mut self, name: &str, encodings: impl IntoIterator<Item = (Option<&'a str>, u8, &'a str, u8)>) {
        let mut facts = Facts::new();
        for (encoding, code, category, width) in encodings {
            let shown = encoding.unwrap_or("without a name");
            facts.insert(format!("encoding {code:#04x}"), format!("{shown}, {category}, width {width}"));
        }
        self.add("primitive", name, facts);
    }

    fn composite<'a>(&mut self, name: &str, descriptor: (&str, u64), fields: impl IntoIterator<Item = FieldFacts<'a>>) {
        let mut facts = descriptor_facts(Some(descriptor));
        let mut order = Vec::new();
        for field in fields {
            order.push(field.name);
            let mut fact =
                |what: &str, value: &str| facts.insert(format!("field {} {what}", field.name), value.to_owned());
            fact("type", field.ty);
            fact("requires", field.requires.unwrap_or("nothing"));
            fact("mandatory", if field.mandatory { "true" } else { "false" });
            fact("multiple", if field.multiple { "true" } else { "false" });
            fact("default", field.default.unwrap_or("nothing"));
        }
        facts.insert("fields".into(), order.join(" "));
        self.add("composite", name, facts);
    }

    fn restricted<'a>(
        &mut self,
        name: &str,
        source: &str,
        descriptor: Option<(&str, u64)>,
        choices: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let mut facts = descriptor_facts(descriptor);
        facts.insert("source".into(), source.into());
        for (choice, value) in choices {
            facts.insert(format!("choice {choice}"), value.into());
        }
        self.add("restricted", name, facts);
    }

    fn definition(&mut self, name: &str, value: &str) {
        self.add(DEFINITION, name, Facts::from([("value".into(), value.into())]));
    }
}

#[derive(Debug, Clone, Copy)]
struct FieldFacts<'a> {
    name: &'a str,
    ty: &'a str,
    requires: Option<&'a str>,
    mandatory: bool,
    multiple: bool,
    default: Option<&'a str>,
}

fn descriptor_facts(descriptor: Option<(&str, u64)>) -> Facts {
    let name = descriptor.map_or("nothing", |(name, _)| name);
    let code = descriptor.map_or_else(|| "nothing".into(), |(_, code)| format!("{code:#04x}"));
    Facts::from([("descriptor".into(), name.into()), ("code".into(), code)])
}

fn compare(standard: &Table, ours: &Table) -> Verdict {
    let (mut lines, mut different, mut missing, mut extra) = (Vec::new(), 0, 0, 0);
    for ((kind, name), theirs) in &standard.entries {
        let Some(facts) = ours.entries.get(&(*kind, name.clone())) else {
            lines.push(format!("{kind} {name}: XML has it, we do not"));
            missing += 1;
            continue;
        };
        let before = lines.len();
        let mut whats: Vec<&String> = theirs.keys().chain(facts.keys()).collect();
        whats.sort_unstable();
        whats.dedup();
        for what in whats {
            let [xml, we] = [theirs, facts].map(|side| side.get(what).map_or("nothing", String::as_str));
            // An absent fact and one that says `nothing` differ only when a whole field is absent, which `fields` reports.
            if xml != we {
                lines.push(format!("{kind} {name}: {what}: XML says {xml}, we say {we}"));
            }
        }
        different += usize::from(lines.len() > before);
    }
    for (kind, name) in ours.entries.keys().filter(|key| !standard.entries.contains_key(*key)).chain(&ours.twice) {
        lines.push(format!("{kind} {name}: we have it once more than the XML"));
        extra += 1;
    }
    let types = standard.entries.keys().filter(|(kind, _)| *kind != DEFINITION).count();
    lines.push(format!("{types} types checked, {different} different, {missing} missing, {extra} extra"));
    if types > 0 && different + missing + extra == 0 { Ok(lines.join("\n")) } else { Err(lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<amqp name="transport" xmlns="http://www.amqp.org/schema/amqp.xsd"><section name="s">
        <type name="uint" class="primitive">
            <encoding code="0x70" category="fixed" width="4"/>
            <encoding name="uint0" code="0x43" category="fixed" width="0"/>
        </type>
        <type name="open" class="composite" source="list" provides="frame">
            <descriptor name="amqp:open:list" code="0x00000000:0x00000010"/>
            <field name="container-id" type="string" mandatory="true"/>
            <field name="max-frame-size" type="uint" default="4294967295"/>
        </type>
        <type name="role" class="restricted" source="boolean">
            <choice name="sender" value="false"/>
            <choice name="receiver" value="true"/>
        </type>
        <definition name="PORT" value="5672"/>
    </section></amqp>"#;

    fn open(fields: &[FieldFacts<'_>]) -> Table {
        let mut table = Table::default();
        table.primitive("uint", [(None, 0x70, "fixed", 4), (Some("uint0"), 0x43, "fixed", 0)]);
        table.composite("open", ("amqp:open:list", 0x10), fields.iter().copied());
        table.restricted("role", "boolean", None, [("sender", "false"), ("receiver", "true")]);
        table.definition("PORT", "5672");
        table
    }

    const CONTAINER_ID: FieldFacts<'_> = FieldFacts {
        name: "container-id",
        ty: "string",
        requires: None,
        mandatory: true,
        multiple: false,
        default: None,
    };
    const MAX_FRAME_SIZE: FieldFacts<'_> = FieldFacts {
        name: "max-frame-size",
        ty: "uint",
        requires: None,
        mandatory: false,
        multiple: false,
        default: Some("4294967295"),
    };

    fn check_against_xml(ours: &Table) -> Verdict {
        let mut standard = Table::default();
        xml::read_text(XML, &mut standard).expect("the XML of this test");
        compare(&standard, ours)
    }

    #[test]
    fn equal_tables_pass() {
        let verdict = check_against_xml(&open(&[CONTAINER_ID, MAX_FRAME_SIZE]));
        assert_eq!(verdict, Ok("3 types checked, 0 different, 0 missing, 0 extra".into()));
    }

    #[test]
    fn altered_field_fails() {
        let altered = FieldFacts { mandatory: false, ty: "symbol", ..CONTAINER_ID };
        assert_eq!(
            check_against_xml(&open(&[altered, MAX_FRAME_SIZE])).expect_err("a difference"),
            [
                "composite open: field container-id mandatory: XML says true, we say false",
                "composite open: field container-id type: XML says string, we say symbol",
                "3 types checked, 1 different, 0 missing, 0 extra",
            ]
        );
    }

    #[test]
    fn fields_in_another_order_fail() {
        assert_eq!(
            check_against_xml(&open(&[MAX_FRAME_SIZE, CONTAINER_ID])).expect_err("a difference"),
            [
                "composite open: fields: XML says container-id max-frame-size, we say max-frame-size container-id",
                "3 types checked, 1 different, 0 missing, 0 extra",
            ]
        );
    }

    #[test]
    fn altered_codes_choices_and_numbers_fail() {
        let mut table = Table::default();
        table.primitive("uint", [(None, 0x71, "fixed", 4), (Some("uint0"), 0x43, "fixed", 1)]);
        table.composite("open", ("amqp:open:list", 0x11), [CONTAINER_ID, MAX_FRAME_SIZE]);
        table.restricted("role", "boolean", None, [("sender", "true")]);
        table.definition("PORT", "5671");
        assert_eq!(
            check_against_xml(&table).expect_err("differences"),
            [
                "composite open: code: XML says 0x10, we say 0x11",
                "definition PORT: value: XML says 5672, we say 5671",
                "primitive uint: encoding 0x43: XML says uint0, fixed, width 0, we say uint0, fixed, width 1",
                "primitive uint: encoding 0x70: XML says without a name, fixed, width 4, we say nothing",
                "primitive uint: encoding 0x71: XML says nothing, we say without a name, fixed, width 4",
                "restricted role: choice receiver: XML says true, we say nothing",
                "restricted role: choice sender: XML says false, we say true",
                "3 types checked, 4 different, 0 missing, 0 extra",
            ]
        );
    }

    #[test]
    fn missing_extra_and_repeated_types_fail() {
        let mut table = open(&[CONTAINER_ID, MAX_FRAME_SIZE]);
        table.definition("PORT", "5672");
        table.restricted("handle", "uint", None, []);
        table.entries.remove(&("restricted", "role".to_owned()));
        assert_eq!(
            check_against_xml(&table).expect_err("differences"),
            [
                "restricted role: XML has it, we do not",
                "restricted handle: we have it once more than the XML",
                "definition PORT: we have it once more than the XML",
                "3 types checked, 0 different, 1 missing, 2 extra",
            ]
        );
    }

    #[test]
    fn altered_codec_fails_and_the_codec_itself_agrees_with_itself() {
        let table = codec::table();
        assert!(compare(&table, &table).is_ok());
        let mut altered = table.clone();
        let (_, facts) = altered.entries.iter_mut().find(|(key, _)| key.1 == "transfer").expect("transfer is a type");
        facts.insert("field more default".into(), "true".into());
        let lines = compare(&table, &altered).expect_err("a difference");
        assert_eq!(lines[0], "composite transfer: field more default: XML says false, we say true");
    }

    #[test]
    fn absent_folder_is_an_error() {
        assert_eq!(check(Path::new("no such folder")).expect_err("no files").len(), 5);
    }
}
