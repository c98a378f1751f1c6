//! Our side: the codec's own tables.

use postroad_codec::v1_0::schema::{COMPOSITES, DEFINITIONS, PRIMITIVES, RESTRICTED};

use super::{FieldFacts, Table};

pub(super) fn table() -> Table {
    let mut table = Table::default();
    for primitive in PRIMITIVES {
        let encodings = primitive.encodings.iter();
        table.primitive(primitive.name, encodings.map(|one| (one.name, one.code, one.category, one.width)));
    }
    for composite in COMPOSITES {
        let fields = composite.fields.iter().map(|field| FieldFacts {
            name: field.name,
            ty: field.ty,
            requires: field.requires,
            mandatory: field.mandatory,
            multiple: field.multiple,
            default: field.default,
        });
        table.composite(composite.name, (composite.descriptor, composite.code), fields);
    }
    for restricted in RESTRICTED {
        table.restricted(restricted.name, restricted.source, restricted.descriptor, restricted.choices.iter().copied());
    }
    for definition in DEFINITIONS {
        table.definition(definition.name, definition.value);
    }
    table
}
