//! What is wrong with XML.

use super::{MAX_XML, MAX_XML_ATTRIBUTES, MAX_XML_DEPTH, MAX_XML_NAMESPACES};

/// Why a text is none of the XML documents that are read here, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct XmlError {
    pub(super) kind: XmlErrorKind,
    pub(super) offset: usize,
}

impl XmlError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> XmlErrorKind {
        self.kind
    }

    /// Where, in bytes from the beginning of the document.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// What is wrong with an XML document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlErrorKind {
    /// It is longer than [`MAX_XML`].
    #[error("XML of more than {MAX_XML} octets")]
    Long,
    /// It is not UTF-8.
    #[error("XML that is not UTF-8")]
    Utf8,
    /// There is a character that XML does not have.
    #[error("a character that XML does not have")]
    Character,
    /// It says that it is another version, or has another encoding.
    #[error("not XML 1 in UTF-8")]
    Declaration,
    /// There is a document type, or something else that begins with `<!`.
    #[error("a document type, which is refused")]
    Doctype,
    /// The outermost element is another one.
    #[error("another document than expected")]
    Root,
    /// It ends too early.
    #[error("XML without its end")]
    Cut,
    /// An element ends that is not the last that was started.
    #[error("the end of an element that is not open")]
    End,
    /// There is something where it may not be.
    #[error("text or markup where it may not be")]
    Markup,
    /// There is no name where one is to be.
    #[error("no name")]
    Name,
    /// An attribute is not `name="value"`.
    #[error("no attribute")]
    Attribute,
    /// An attribute is there twice.
    #[error("an attribute that is there twice")]
    Duplicate,
    /// A prefix was not declared, or may not be declared like that.
    #[error("no namespace")]
    Namespace,
    /// A reference is to neither a character nor one of the five entities of XML.
    #[error("a reference to nothing known")]
    Reference,
    /// Elements are in elements more than [`MAX_XML_DEPTH`] times.
    #[error("elements more than {MAX_XML_DEPTH} deep")]
    Depth,
    /// An element has more than [`MAX_XML_ATTRIBUTES`].
    #[error("more than {MAX_XML_ATTRIBUTES} attributes")]
    Attributes,
    /// More than [`MAX_XML_NAMESPACES`] are declared.
    #[error("more than {MAX_XML_NAMESPACES} namespaces")]
    Namespaces,
}
